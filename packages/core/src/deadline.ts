/** How long an operation may still take. */
export class Deadline {
  readonly #endsAtMs: number
  #abortController: AbortController | undefined
  #isExceeded = false

  constructor(deadlineMs: number) {
    this.#endsAtMs = performance.now() + deadlineMs
  }

  /** Whether the caller has stopped waiting. */
  get isOver(): boolean {
    return this.#isExceeded || performance.now() >= this.#endsAtMs
  }

  /** Milliseconds until the caller stops waiting; 0 at least. */
  get remainingMs(): number {
    return Math.max(0, this.#endsAtMs - performance.now())
  }

  /** Aborted when the deadline is exceeded; never when the operation ends in time. */
  get signal(): AbortSignal {
    this.#abortController ??= new AbortController()
    if (this.#isExceeded) this.#abortController.abort()
    return this.#abortController.signal
  }

  /** Called by {@link withDeadline} when the time is over. */
  exceed(): void {
    this.#isExceeded = true
    this.#abortController?.abort()
  }
}

/**
 * Runs an operation and waits for it at most `deadlineMs` milliseconds.
 *
 * Past the deadline the `signal` of the operation's {@link Deadline} is aborted, and the result is what `onExceeded` returns
 * or throws. The outcome that the operation has later, a rejection too, is ignored.
 */
export async function withDeadline<T, L>(
  deadlineMs: number,
  operation: (deadline: Deadline) => Promise<T>,
  onExceeded: () => L,
): Promise<T | L> {
  const deadline = new Deadline(deadlineMs)
  let timer: NodeJS.Timeout | undefined
  const exceeded = new Promise<void>((resolve) => {
    timer = setTimeout(() => {
      deadline.exceed()
      resolve()
    }, deadlineMs)
  })
  try {
    return await Promise.race([operation(deadline), exceeded.then(onExceeded)])
  } finally {
    clearTimeout(timer)
  }
}
