import type { Say } from './say.ts'

/**
 * One run of `dev`: what is open, and whether to go on.
 *
 * open -> stop requested (a signal, or an app that ended) -> closed. What was opened last is closed first.
 */
export class Session {
  readonly say: Say
  readonly #stop: AbortController
  readonly #closers: (() => Promise<unknown>)[] = []

  constructor(options: { readonly say: Say; readonly stop: AbortController }) {
    this.say = options.say
    this.#stop = options.stop
  }

  /** Aborted when it is time to stop; its reason is an Error that says why. */
  get signal(): AbortSignal {
    return this.#stop.signal
  }

  stop(reason: Error): void {
    this.#stop.abort(reason)
  }

  /** Waits for something that opens, and remembers how to close it; throws when a stop was requested meanwhile. */
  async opening<T>(opening: Promise<T> | T, close: (opened: T) => Promise<unknown>): Promise<T> {
    const opened = await opening
    this.#closers.unshift(() => close(opened))
    this.signal.throwIfAborted()
    return opened
  }

  /** Resolves never; rejects with the reason of the stop. */
  async untilStopped(): Promise<never> {
    return new Promise((_resolve, reject) => {
      if (this.signal.aborted) reject(this.signal.reason as Error)
      this.signal.addEventListener('abort', () => reject(this.signal.reason as Error), { once: true })
    })
  }

  /** Closes everything, the last opened first; one failure does not keep the rest open. Tells whether all went well. */
  async close(): Promise<boolean> {
    let isWell = true
    for (const close of this.#closers.splice(0)) {
      await close().catch((error: Error) => {
        isWell = false
        this.say(error.message)
      })
    }
    return isWell
  }
}
