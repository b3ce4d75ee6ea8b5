/** Prints a text of one or more lines for the developer. */
export type Say = (text: string) => void

/** Writes to standard output, between the log lines of the apps. */
export const say: Say = (text) => void process.stdout.write(`${text}\n`)

/**
 * One run of `dev`: its open resources and the reason to stop.
 *
 * open -> stop requested (a signal, or an app that ended) -> closed. The last opened is closed first.
 */
export class Session {
  readonly say: Say
  readonly #stop: AbortController
  readonly #closers: (() => Promise<unknown>)[] = []

  constructor(options: { readonly say: Say; readonly stop: AbortController }) {
    this.say = options.say
    this.#stop = options.stop
  }

  /** Aborted at the stop; its reason is an Error with the cause. */
  get signal(): AbortSignal {
    return this.#stop.signal
  }

  stop(reason: Error): void {
    this.#stop.abort(reason)
  }

  /** Waits for something that opens and remembers how to close it; throws where a stop was requested meanwhile. */
  async opening<T>(opening: Promise<T> | T, close: (opened: T) => Promise<unknown>): Promise<T> {
    const opened = await opening
    this.#closers.unshift(() => close(opened))
    this.signal.throwIfAborted()
    return opened
  }

  /** Never resolves; rejects with the reason of the stop. */
  async untilStopped(): Promise<never> {
    return new Promise((_resolve, reject) => {
      if (this.signal.aborted) reject(this.signal.reason as Error)
      this.signal.addEventListener('abort', () => reject(this.signal.reason as Error), { once: true })
    })
  }

  /** Closes everything, the last opened first, also after a failure. False where something failed. */
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
