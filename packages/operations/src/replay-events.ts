import {
  countSelectedEvents,
  findBehindEvents,
  listSelectedEvents,
  type Database,
  type EventPlace,
  type EventSelection,
  type OperationCounts,
} from '@persona-ingest/database'
import type { Producer } from '@persona-ingest/queue'
import { recorded, type Actor } from './operation.ts'
import { Pacer, pauseUnlessAborted, retryWhileUnavailable } from './pace.ts'

/** The result of a replay of events; the members are those of `ops replay --json`. */
export type EventsReplayReport = {
  selected: number
  enqueued: number
  /** Ids of the selection that are not in the log. */
  missing: readonly string[]
  /** With `wait`: how many of the enqueued events are in the rows now; else null. */
  applied: number | null
  /** With `wait`: ids of events whose object's row is still missing or older; else null. */
  not_applied: string[] | null
}

export type ReplayOptions = {
  readonly database: Database
  readonly producer: Producer
  readonly actor: Actor
  /** Jobs per second at most. */
  readonly rate: number
  /** Resolves when the jobs are processed, which needs a worker; else when they are in the queue. */
  readonly wait: boolean
  /** Ends the replay early; the report then covers what was enqueued. */
  readonly signal: AbortSignal
}

export type ReplayEventsOptions = ReplayOptions & {
  readonly selection: EventSelection
  readonly onProgress: (progress: { readonly enqueued: number; readonly selected: number }) => void
}

type Run = ReplayEventsOptions & { readonly pacer: Pacer; readonly counts: OperationCounts }

const MAX_PER_ENQUEUE = 100
/** With `wait`, the events in the queue at most: their ids are kept in memory. */
const MAX_OUTSTANDING = 2_000
const POLL_MS = 200
const ASKED_AT_ONCE = 500

/** Events of a replay that are in the queue, and the outcome of those that left it. */
class Outstanding {
  readonly #options: ReplayEventsOptions
  #ids: string[] = []
  applied = 0
  readonly notApplied: string[] = []

  constructor(options: ReplayEventsOptions) {
    this.#options = options
  }

  add(ids: readonly string[]): void {
    this.#ids.push(...ids)
  }

  /** Resolves when no more than `count` are in the queue. */
  async shrinkTo(count: number): Promise<void> {
    const { signal } = this.#options
    while (this.#ids.length > count && !signal.aborted) {
      await this.#look()
      if (this.#ids.length > count) await pauseUnlessAborted(POLL_MS, signal)
    }
  }

  async #look(): Promise<void> {
    const { producer, database } = this.#options
    const left: string[] = []
    for (let at = 0; at < this.#ids.length; at += ASKED_AT_ONCE) {
      const asked = this.#ids.slice(at, at + ASKED_AT_ONCE)
      const queued = await retryWhileUnavailable(() => producer.queuedReplays(asked))
      const processed = asked.filter((id) => !queued.has(id))
      const behind = processed.length === 0 ? [] : await findBehindEvents(database, processed)
      this.applied += processed.length - behind.length
      this.notApplied.push(...behind)
      left.push(...queued)
    }
    this.#ids = left
  }
}

async function enqueuePage(run: Run, ids: readonly string[], report: EventsReplayReport): Promise<readonly string[]> {
  const { pacer, producer, signal, counts, onProgress } = run
  const portion = pacer.portion(MAX_PER_ENQUEUE)
  const enqueued: string[] = []
  for (let at = 0; at < ids.length && !signal.aborted; at += portion) {
    const some = ids.slice(at, at + portion)
    await pacer.pass(some.length)
    await retryWhileUnavailable(() => producer.enqueueReplays(some))
    enqueued.push(...some)
    report.enqueued += some.length
    counts['enqueued'] = report.enqueued
    onProgress({ enqueued: report.enqueued, selected: report.selected })
  }
  return enqueued
}

async function replay(run: Run): Promise<EventsReplayReport> {
  const { database, selection, signal, counts, wait } = run
  const selected = await countSelectedEvents(database, selection)
  const report: EventsReplayReport = { selected, enqueued: 0, missing: [], applied: null, not_applied: null }
  const found = new Set<string>()
  const outstanding = new Outstanding(run)
  for (let after: EventPlace | null = null; !signal.aborted;) {
    const page: readonly EventPlace[] = await listSelectedEvents(database, selection, after)
    const last = page.at(-1)
    if (last === undefined) break
    if (selection.ids !== undefined) for (const { id } of page) found.add(id)
    const ids = page.map(({ id }) => id)
    for (let at = 0; at < ids.length && !signal.aborted; at += ASKED_AT_ONCE) {
      const enqueued = await enqueuePage(run, ids.slice(at, at + ASKED_AT_ONCE), report)
      if (wait) outstanding.add(enqueued)
      await outstanding.shrinkTo(MAX_OUTSTANDING)
    }
    after = last
  }
  if (selection.ids !== undefined) report.missing = selection.ids.filter((id) => !found.has(id))
  if (!wait) return report
  await outstanding.shrinkTo(0)
  report.applied = outstanding.applied
  report.not_applied = outstanding.notApplied
  counts['applied'] = outstanding.applied
  counts['not_applied'] = outstanding.notApplied.length
  return report
}

/**
 * Puts events of the log into the queue, to be processed again. Safe to repeat: an event that is in the queue adds no
 * job. Recorded as `replay`; rejects with `QueueUnavailableError` or the database's error.
 */
export async function replayEvents(options: ReplayEventsOptions): Promise<EventsReplayReport> {
  const { database, actor, selection, rate } = options
  const operation = { ...actor, command: 'replay', arguments: { ...selection, rate } }
  const pacer = new Pacer(rate)
  return await recorded(database, operation, async (counts) => await replay({ ...options, pacer, counts }))
}
