/** The reason of a stop that the developer asked for. */
export class StopRequested extends Error {
  override readonly name = 'StopRequested'
}

/** The terminal signals the whole group, and package managers pass the signal on: one Ctrl-C may come several times. */
const sameRequestMs = 1000

/** Asks for a stop on the first SIGINT or SIGTERM; a later one, a second or more after it, ends with exit code 1. */
export function stopOnSignals(stop: AbortController): void {
  let requestedAtMs: number | null = null
  const onSignal = (signal: NodeJS.Signals) => {
    const nowMs = performance.now()
    if (requestedAtMs !== null && nowMs - requestedAtMs >= sameRequestMs) process.exit(1)
    requestedAtMs ??= nowMs
    stop.abort(new StopRequested(`stopping on ${signal}; once more ends at once`))
  }
  process.on('SIGINT', onSignal)
  process.on('SIGTERM', onSignal)
}
