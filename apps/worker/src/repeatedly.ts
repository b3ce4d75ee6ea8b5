/**
 * Does work again and again, each time `pauseMs` after it ended: work that waits out an outage must not pile up.
 * Returns what stops it.
 */
export function repeatedly(options: {
  readonly pauseMs: number
  readonly work: () => Promise<unknown>
  readonly onError: (error: unknown) => void
}): () => void {
  let isStopped = false
  let timer: NodeJS.Timeout
  const rest = (): void => {
    if (!isStopped) timer = setTimeout(() => void options.work().catch(options.onError).finally(rest), options.pauseMs)
  }
  rest()
  return () => {
    isStopped = true
    clearTimeout(timer)
  }
}
