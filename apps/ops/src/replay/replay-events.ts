import {
  countSelectedEvents,
  findBehindEvents,
  listSelectedEvents,
  type EventPlace,
  type EventSelection,
  type OperationCounts,
  type PrismaClient,
} from '@persona-ingest/database'
import type { Producer } from '@persona-ingest/queue'
import { setTimeout as pause } from 'node:timers/promises'
import type { ShowProgress } from '../output/progress.ts'
import type { Pacer } from './pacer.ts'
import { patiently } from './patiently.ts'

/** What a replay of events came to; the members are those of `--json`. */
export type EventsReport = {
  selected: number
  enqueued: number
  /** Asked for by id, and not in the log. */
  missing: readonly string[]
  /** With `--wait`: how many of the enqueued are in the rows now; else null. */
  applied: number | null
  /** With `--wait`: those whose object's row is still missing or older; else null. */
  not_applied: string[] | null
}

export type ReplayEventsOptions = {
  readonly prisma: PrismaClient
  readonly producer: Producer
  readonly selection: EventSelection
  readonly pacer: Pacer
  readonly wait: boolean
  readonly signal: AbortSignal
  readonly counts: OperationCounts
  readonly onProgress: ShowProgress
}

const MAX_PER_ENQUEUE = 100
/** With `--wait`, how far the queue may run ahead: what is waited for is kept in memory. */
const MAX_OUTSTANDING = 2_000
const POLL_MS = 200
const ASKED_AT_ONCE = 500

/** Events that are in the queue, and what became of those that left it. */
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
      if (this.#ids.length > count) await pause(POLL_MS, undefined, { signal }).catch(() => undefined)
    }
  }

  async #look(): Promise<void> {
    const { producer, prisma } = this.#options
    const left: string[] = []
    for (let at = 0; at < this.#ids.length; at += ASKED_AT_ONCE) {
      const asked = this.#ids.slice(at, at + ASKED_AT_ONCE)
      const queued = await patiently(() => producer.queuedReplays(asked))
      const settled = asked.filter((id) => !queued.has(id))
      const behind = settled.length === 0 ? [] : await findBehindEvents(prisma, settled)
      this.applied += settled.length - behind.length
      this.notApplied.push(...behind)
      left.push(...queued)
    }
    this.#ids = left
  }
}

async function enqueuePage(options: ReplayEventsOptions, ids: readonly string[], report: EventsReport) {
  const { pacer, producer, signal, counts, onProgress } = options
  const portion = pacer.portion(MAX_PER_ENQUEUE)
  const enqueued: string[] = []
  for (let at = 0; at < ids.length && !signal.aborted; at += portion) {
    const some = ids.slice(at, at + portion)
    await pacer.pass(some.length)
    await patiently(() => producer.enqueueReplays(some))
    enqueued.push(...some)
    report.enqueued += some.length
    counts['enqueued'] = report.enqueued
    onProgress({ done: report.enqueued, total: report.selected, of: 'events enqueued' })
  }
  return enqueued
}

/** Puts events of the log into the queue to be processed again, at the pacer's rate. Safe to repeat. */
export async function replayEvents(options: ReplayEventsOptions): Promise<EventsReport> {
  const { prisma, selection, signal, counts } = options
  const selected = await countSelectedEvents(prisma, selection)
  const report: EventsReport = { selected, enqueued: 0, missing: [], applied: null, not_applied: null }
  const found = new Set<string>()
  const outstanding = new Outstanding(options)
  for (let after: EventPlace | null = null; !signal.aborted;) {
    const page: readonly EventPlace[] = await listSelectedEvents(prisma, selection, after)
    const last = page.at(-1)
    if (last === undefined) break
    if (selection.ids !== undefined) for (const { id } of page) found.add(id)
    const ids = page.map(({ id }) => id)
    for (let at = 0; at < ids.length && !signal.aborted; at += ASKED_AT_ONCE) {
      const enqueued = await enqueuePage(options, ids.slice(at, at + ASKED_AT_ONCE), report)
      if (options.wait) outstanding.add(enqueued)
      await outstanding.shrinkTo(MAX_OUTSTANDING)
    }
    after = last
  }
  if (selection.ids !== undefined) report.missing = selection.ids.filter((id) => !found.has(id))
  if (!options.wait) return report
  await outstanding.shrinkTo(0)
  report.applied = outstanding.applied
  report.not_applied = outstanding.notApplied
  counts['applied'] = outstanding.applied
  counts['not_applied'] = outstanding.notApplied.length
  return report
}
