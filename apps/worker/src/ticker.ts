import type { TickOutcome } from '@persona-ingest/database'

/** At most one attempt in this time, in ms: so long a change may wait for its tick. */
const TICK_EVERY_MS = 100
/** After an attempt that met another session or a tick that is very young. */
const AGAIN_AFTER_MS = 50
/** Finds changes of other processes, and of a worker that died between its commit and its tick. */
const POLL_EVERY_MS = 2_000
/** Attempts at the end, which another worker's ticks may delay. */
const LAST_ATTEMPTS = 4

export type Ticker = {
  /** Asks for a tick, after a commit. Safe to call often. */
  wake(): void
  start(): void
  stop(): void
  /** Makes a last tick for what was committed, after `stop`. Never rejects. */
  finish(): Promise<void>
}

const pause = async (ms: number) => new Promise<void>((resolve) => void setTimeout(resolve, ms))

/**
 * Makes ticks of the change feed: every 100 ms while changes arrive, else only looks for changes every 2 s. All workers do
 * so; the database lets one of them make a tick at a time, so that none has to take over from another.
 */
export function createTicker(options: {
  readonly makeTick: () => Promise<TickOutcome>
  readonly onError: (error: unknown) => void
}): Ticker {
  let timer: NodeJS.Timeout | undefined
  let dueAtMs = Infinity
  let attemptedAtMs = -Infinity
  let running: Promise<void> | null = null
  let isWoken = false
  let isStopped = true

  const schedule = (delayMs: number): void => {
    const atMs = performance.now() + delayMs
    if (isStopped || atMs >= dueAtMs) return
    clearTimeout(timer)
    dueAtMs = atMs
    timer = setTimeout(() => void (running = attempt()), delayMs)
  }
  const nextDelayMs = (outcome: TickOutcome): number => {
    if (outcome === 'ticked') return TICK_EVERY_MS
    return outcome === 'nothing' ? POLL_EVERY_MS : AGAIN_AFTER_MS
  }
  const attempt = async (): Promise<void> => {
    dueAtMs = Infinity
    isWoken = false
    attemptedAtMs = performance.now()
    let delayMs = POLL_EVERY_MS
    try {
      delayMs = nextDelayMs(await options.makeTick())
    } catch (error) {
      options.onError(error)
    }
    running = null
    schedule(delayMs)
    if (isWoken) wake()
  }
  const wake = (): void => {
    isWoken = true
    if (running === null) schedule(Math.max(0, attemptedAtMs + TICK_EVERY_MS - performance.now()))
  }
  return {
    wake,
    start() {
      isStopped = false
      wake()
    },
    stop() {
      isStopped = true
      clearTimeout(timer)
    },
    async finish() {
      await running
      for (let attempts = 0; attempts < LAST_ATTEMPTS; attempts += 1) {
        const outcome = await options.makeTick().catch(() => 'nothing' as const)
        if (outcome === 'ticked' || outcome === 'nothing') return
        await pause(AGAIN_AFTER_MS)
      }
    },
  }
}
