import { CodedError } from './errors.ts'

/** How long an operation may still take. */
export class Deadline {
  readonly #endsAtMs: number
  #abortController: AbortController | undefined
  #listeners: (() => void)[] | undefined
  #isExceeded = false

  constructor(deadlineMs: number) {
    this.#endsAtMs = performance.now() + deadlineMs
  }

  /** Whether the caller has stopped waiting. */
  get isExceeded(): boolean {
    return this.#isExceeded
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

  /**
   * Calls `listener` when the deadline is exceeded; at once where it is already.
   *
   * For paths that every event takes: a listener of `signal` costs 4 us and more, mostly for the signal.
   */
  onExceeded(listener: () => void): void {
    if (this.#isExceeded) listener()
    else if (this.#listeners === undefined) this.#listeners = [listener]
    else this.#listeners.push(listener)
  }

  /** Called by {@link withDeadline} when the time is over. */
  exceed(): void {
    this.#isExceeded = true
    this.#abortController?.abort()
    for (const listener of this.#listeners ?? []) listener()
  }
}

/** Tells that work was given up because its caller has stopped waiting. */
export class DeadlineExceededError extends CodedError<'DEADLINE_EXCEEDED'> {
  override readonly name = 'DeadlineExceededError'

  constructor() {
    super('DEADLINE_EXCEEDED', 'The deadline was exceeded before the work began')
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
