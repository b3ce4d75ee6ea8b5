/** A signal that aborts at the first SIGINT or SIGTERM; a second one ends the process as usual. */
export type Interruption = { readonly signal: AbortSignal; readonly dispose: () => void }

export function untilInterrupted(): Interruption {
  const controller = new AbortController()
  const dispose = () => {
    process.off('SIGINT', abort)
    process.off('SIGTERM', abort)
  }
  const abort = () => {
    dispose()
    controller.abort()
  }
  process.on('SIGINT', abort)
  process.on('SIGTERM', abort)
  return { signal: controller.signal, dispose }
}
