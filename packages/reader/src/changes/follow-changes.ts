import type { Connections } from '../connections/connections.ts'
import { throughOutages } from '../connections/outage.ts'
import type { Run } from '../connections/run.ts'
import type { ChangeBatch, ChangeIteration, From, Queryable } from './change.ts'
import { commitCursor, passEmptyTicks, startCursor, withExpiry } from './cursor.ts'
import { Listener } from './listener.ts'
import { readPage, type ChangePage, type Place } from './read-page.ts'

export type FollowOptions = {
  readonly connections: Connections
  readonly consumer: string
  readonly from: From
  /** Ends the iteration. */
  readonly signal: AbortSignal
  /** Ends commits too. */
  readonly closing: AbortSignal
  readonly onOutage: (error: Error) => void
}

/** The reading of one consumer, without its loop. */
class Following {
  readonly #options: FollowOptions
  readonly #run: Run
  #place: Place = { tick: 0n, part: null }
  /** The tick of the last whole batch: where the stored cursor is once that is committed. */
  #handedTick = 0n

  constructor(options: FollowOptions) {
    const { connections, signal } = options
    this.#options = options
    this.#run = async (text, values) => connections.query(text, values, signal)
  }

  async start(): Promise<void> {
    const { consumer, from } = this.#options
    const tick = await throughOutages(async () => startCursor(this.#run, consumer, from), this.#options)
    this.#place = { tick, part: null }
    this.#handedTick = tick
  }

  /** Reads the next page with changes; null where nothing is newer. */
  async read(): Promise<ChangeBatch | null> {
    for (;;) {
      const page = await throughOutages(async () => readPage(this.#run, this.#place), this.#options)
      if (page.changes.length > 0) return this.#handOut(page)
      if (page.upTo === this.#place.tick) return null
      await this.#passEmpty(page.upTo)
    }
  }

  #handOut({ upTo, changes, isPart }: ChangePage): ChangeBatch {
    if (isPart) {
      this.#place = { tick: this.#place.tick, part: { upTo, seq: changes.at(-1)?.seq ?? 0n } }
      return { tick: upTo, changes, isPart, commit: async () => undefined }
    }
    this.#place = { tick: upTo, part: null }
    this.#handedTick = upTo
    return { tick: upTo, changes, isPart, commit: async (client) => this.#commit(upTo, client) }
  }

  async #commit(tick: bigint, client?: Queryable): Promise<void> {
    const { connections, closing, consumer } = this.#options
    if (client !== undefined) return commitCursor(client, consumer, tick)
    const query = async (text: string, values: unknown[]) => connections.query(text, values, closing)
    await throughOutages(async () => commitCursor({ query }, consumer, tick), this.#options)
  }

  async #passEmpty(tick: bigint): Promise<void> {
    const { consumer } = this.#options
    this.#place = { tick, part: null }
    const hasMoved = await throughOutages(
      async () => passEmptyTicks(this.#run, consumer, [this.#handedTick, tick]),
      this.#options,
    )
    if (hasMoved) this.#handedTick = tick
  }
}

async function* readBatches(options: FollowOptions, end: () => void): AsyncGenerator<ChangeBatch, void, undefined> {
  const { connections, signal } = options
  const following = new Following(options)
  try {
    if (signal.aborted) return
    await following.start()
    const listener = new Listener({ connections, signal })
    let hasPolled = false
    while (!signal.aborted) {
      const batch = await following.read()
      if (batch !== null) {
        if (hasPolled) listener.renew()
        hasPolled = false
        yield batch
      } else hasPolled = (await listener.next()) === 'polled'
    }
  } catch (error) {
    if (!signal.aborted) throw withExpiry(error)
  } finally {
    end()
  }
}

/** Reads the changes of a consumer until it is ended: by `return`, which `break` calls, or by its signal. */
export function followChanges(options: FollowOptions): ChangeIteration {
  const { signal } = options
  const ending = new AbortController()
  const abort = () => ending.abort()
  const end = () => {
    signal.removeEventListener('abort', abort)
    abort()
  }
  signal.addEventListener('abort', abort, { once: true })
  if (signal.aborted) end()
  const batches = readBatches({ ...options, signal: ending.signal }, end)
  return {
    next: async () => batches.next(),
    async return() {
      // A generator would wait for its next batch first.
      end()
      return batches.return()
    },
    [Symbol.asyncIterator]() {
      return this
    },
  }
}
