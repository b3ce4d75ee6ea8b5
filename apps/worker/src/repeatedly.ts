/**
 * Does work again and again, each time `pauseMs` after it ended: work that waits out an outage must not pile up. A function
 * gives each pause anew.
 * Returns what stops it.
 */
export function repeatedly(options: {
  readonly pauseMs: number | (() => number)
  readonly work: () => Promise<unknown>
  readonly onError: (error: unknown) => void
}): () => void {
  let isStopped = false
  let timer: NodeJS.Timeout
  const rest = (): void => {
    const pauseMs = typeof options.pauseMs === 'number' ? options.pauseMs : options.pauseMs()
    if (!isStopped) timer = setTimeout(() => void options.work().catch(options.onError).finally(rest), pauseMs)
  }
  rest()
  return () => {
    isStopped = true
    clearTimeout(timer)
  }
}
