import { withDeadline } from '@persona-ingest/core'
import {
  discardDeadLetters as discardSelected,
  readReplayableDeadLetters,
  readReplayProgress,
  type Database,
  type DiscardResult,
  type DeadLetterSelection,
  type OperationCounts,
  type ReplayableDeadLetter,
} from '@persona-ingest/database'
import { QueueUnavailableError } from '@persona-ingest/queue'
import { recorded, type Actor } from './operation.ts'
import { Pacer, pauseUnlessAborted, retryWhileUnavailable } from './pace.ts'
import type { ReplayOptions } from './replay-events.ts'

/** The result of a replay of dead letters; the members are those of `ops dead-letters replay --json`. */
export type DeadLettersReplayReport = {
  /** In the queue, as if delivered again. */
  readonly enqueued: { readonly id: string; readonly event_id: string }[]
  /** Left as they are, each with the cause. */
  readonly refused: { readonly id: string; readonly why: string }[]
  /** Ids whose event is in the log already. */
  readonly already_replayed: string[]
  /** Ids of the selection that do not exist. */
  missing: readonly string[]
  /** With `wait`: ids of `enqueued` whose event was stored; else null. */
  applied: readonly string[] | null
  /** With `wait`: ids of `enqueued` that failed again; else null. */
  failed_again: readonly string[] | null
}

/** Dead letters that were read or, with `wait`, that left the queue, and how many were enqueued. */
export type DeadLettersReplayProgress = {
  readonly phase: 'read' | 'processed'
  readonly done: number
  readonly enqueued: number
}

export type ReplayDeadLettersOptions = ReplayOptions & {
  readonly selection: DeadLetterSelection
  /** Unix milliseconds; a `created-at` that was in the future at receipt may be valid by now. */
  readonly nowMs: number
  readonly onProgress: (progress: DeadLettersReplayProgress) => void
}

type Run = ReplayDeadLettersOptions & { readonly pacer: Pacer; readonly counts: OperationCounts }
type Enqueued = { readonly id: string; readonly failedAt: Date }

const POLL_MS = 200
const ASKED_AT_ONCE = 500

const REFUSALS = {
  erased: 'a redaction has erased its body: nothing is left to replay; discard it',
  unusable: 'still no usable event',
  'other-letter': 'bears the event of another dead letter: replay that one',
} as const

function selectionArguments(selection: DeadLetterSelection): Readonly<Record<string, unknown>> {
  return 'ids' in selection ? { ids: selection.ids } : { code: selection.reason ?? 'all' }
}

/** Longest wait for Redis to confirm one enqueue. */
const ENQUEUE_DEADLINE_MS = 3_000

function tooSlow(): never {
  throw new QueueUnavailableError('QUEUE_TOO_SLOW')
}

async function enqueue(
  { pacer, producer }: Run,
  deadLetter: ReplayableDeadLetter & { verdict: 'usable' },
): Promise<void> {
  const { eventId, environment, receivedAtMs, body } = deadLetter
  await pacer.pass(1)
  const delivery = { kind: 'event', eventId, environment, receivedAtMs, body, isReplayed: true } as const
  await retryWhileUnavailable(() =>
    withDeadline(ENQUEUE_DEADLINE_MS, (deadline) => producer.enqueue(delivery, deadline), tooSlow),
  )
}

async function replayOne(run: Run, deadLetter: ReplayableDeadLetter, report: DeadLettersReplayReport): Promise<void> {
  const { id } = deadLetter
  const refuse = (why: string) => void report.refused.push({ id, why })
  switch (deadLetter.verdict) {
    case 'usable':
      await enqueue(run, deadLetter)
      report.enqueued.push({ id, event_id: deadLetter.eventId })
      break
    case 'replayed':
      report.already_replayed.push(id)
      break
    case 'erased':
      refuse(REFUSALS.erased)
      break
    case 'unusable':
      refuse(`${REFUSALS.unusable}: ${deadLetter.reason}`)
      break
    case 'other-letter':
      refuse(`${REFUSALS['other-letter']} (${deadLetter.deadLetterId})`)
      break
  }
}

/** Polls until each enqueued dead letter is resolved or has failed again. */
async function untilProcessed(run: Run, enqueued: readonly Enqueued[], report: DeadLettersReplayReport): Promise<void> {
  const { database, signal, counts, onProgress } = run
  const applied: string[] = []
  const failedAgain: string[] = []
  let waiting = enqueued
  while (waiting.length > 0 && !signal.aborted) {
    const progress = await readReplayProgress(database, waiting.slice(0, ASKED_AT_ONCE))
    for (const [id, state] of progress) {
      if (state === 'replayed') applied.push(id)
      if (state === 'failed-again') failedAgain.push(id)
    }
    waiting = waiting.filter(({ id }) => (progress.get(id) ?? 'under-way') === 'under-way')
    onProgress({ phase: 'processed', done: applied.length + failedAgain.length, enqueued: enqueued.length })
    if (waiting.length > 0) await pauseUnlessAborted(POLL_MS, signal)
  }
  report.applied = applied
  report.failed_again = failedAgain
  counts['applied'] = applied.length
  counts['failed_again'] = failedAgain.length
}

/** Each page is read anew, so that a dead letter that fails again meanwhile is not taken twice. */
async function replay(run: Run): Promise<DeadLettersReplayReport> {
  const { database, selection, signal, counts, nowMs, onProgress } = run
  const report: DeadLettersReplayReport = {
    enqueued: [], refused: [], already_replayed: [], missing: [], applied: null, failed_again: null,
  } // prettier-ignore
  const seen = new Set<string>()
  const enqueued: Enqueued[] = []
  for (let after = '0'; !signal.aborted;) {
    const page = await readReplayableDeadLetters(database, selection, { after, nowMs })
    for (const deadLetter of page) {
      if (signal.aborted) break
      seen.add(deadLetter.id)
      await replayOne(run, deadLetter, report)
      if (deadLetter.verdict === 'usable') enqueued.push({ id: deadLetter.id, failedAt: deadLetter.failedAt })
      counts['enqueued'] = report.enqueued.length
      counts['refused'] = report.refused.length
      onProgress({ phase: 'read', done: seen.size, enqueued: report.enqueued.length })
    }
    const last = page.at(-1)
    if (last === undefined) break
    after = last.id
  }
  if ('ids' in selection) report.missing = selection.ids.filter((id) => !seen.has(String(BigInt(id))))
  if (run.wait) await untilProcessed(run, enqueued, report)
  return report
}

/**
 * Puts dead letters into the queue as if they had been delivered again; a stored event marks them as replayed. Recorded
 * as `dead-letters replay`; rejects with `QueueUnavailableError` or the database's error.
 */
export async function replayDeadLetters(options: ReplayDeadLettersOptions): Promise<DeadLettersReplayReport> {
  const { database, actor, selection, rate } = options
  const given = { ...selectionArguments(selection), rate }
  const operation = { ...actor, command: 'dead-letters replay', arguments: given }
  const pacer = new Pacer(rate)
  return await recorded(database, operation, async (counts) => await replay({ ...options, pacer, counts }))
}

/**
 * Marks open dead letters as discarded; their bodies stay until they are pruned. Safe to repeat. Recorded as
 * `dead-letters discard`; rejects with the database's error.
 */
export async function discardDeadLetters(options: {
  readonly database: Database
  readonly actor: Actor
  readonly selection: DeadLetterSelection
}): Promise<DiscardResult> {
  const { database, actor, selection } = options
  const operation = { ...actor, command: 'dead-letters discard', arguments: selectionArguments(selection) }
  return await recorded(database, operation, async (counts) => {
    const result = await discardSelected(database, selection)
    counts['discarded'] = result.discarded
    return result
  })
}
