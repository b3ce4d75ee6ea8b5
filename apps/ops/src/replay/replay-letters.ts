import {
  readReplayableLetters,
  readReplayProgress,
  type LetterSelection,
  type OperationCounts,
  type PrismaClient,
  type ReplayableLetter,
} from '@persona-ingest/database'
import { withDeadline } from '@persona-ingest/core'
import { QueueUnavailableError, type Producer } from '@persona-ingest/queue'
import { setTimeout as pause } from 'node:timers/promises'
import type { Pacer } from './pacer.ts'
import { patiently } from './patiently.ts'

export type ReplayedLetter = { readonly id: string; readonly event_id: string }
export type RefusedLetter = { readonly id: string; readonly why: string }

/** What a replay of dead letters came to; the members are those of `--json`. */
export type LettersReport = {
  /** Put into the queue as if they had been delivered again. */
  readonly enqueued: ReplayedLetter[]
  /** Stay as they are, and why. */
  readonly refused: RefusedLetter[]
  /** Whose event is in the log already. */
  readonly already_replayed: string[]
  /** Asked for by id, and not there. */
  missing: readonly string[]
  /** With `--wait`: those of `enqueued` whose event was stored, and those that failed again; else null. */
  applied: readonly string[] | null
  failed_again: readonly string[] | null
}

export type ReplayLettersOptions = {
  readonly prisma: PrismaClient
  readonly producer: Producer
  readonly selection: LetterSelection
  readonly pacer: Pacer
  readonly wait: boolean
  readonly signal: AbortSignal
  readonly counts: OperationCounts
  readonly nowMs: number
  readonly onProgress: (text: string) => void
}

const POLL_MS = 200

const REFUSALS = {
  erased: 'a redaction has erased its body: nothing is left to replay; discard it',
  unusable: 'still no usable event',
  'other-letter': 'bears the event of another dead letter: replay that one',
} as const

type Enqueued = { readonly id: string; readonly failedAt: Date }

/** Longest wait for Redis to confirm one enqueue. */
const ENQUEUE_DEADLINE_MS = 3000

function tooSlow(): never {
  throw new QueueUnavailableError('QUEUE_TOO_SLOW')
}

async function enqueue(options: ReplayLettersOptions, letter: ReplayableLetter & { verdict: 'usable' }) {
  const { eventId, environment, receivedAtMs, body } = letter
  const { pacer, producer } = options
  await pacer.pass(1)
  const delivery = { kind: 'event', eventId, environment, receivedAtMs, body } as const
  await patiently(() => withDeadline(ENQUEUE_DEADLINE_MS, (deadline) => producer.enqueue(delivery, deadline), tooSlow))
}

async function replayOne(options: ReplayLettersOptions, letter: ReplayableLetter, report: LettersReport) {
  const { id } = letter
  const refuse = (why: string) => void report.refused.push({ id, why })
  switch (letter.verdict) {
    case 'usable':
      await enqueue(options, letter)
      report.enqueued.push({ id, event_id: letter.eventId })
      break
    case 'replayed':
      report.already_replayed.push(id)
      break
    case 'erased':
      refuse(REFUSALS.erased)
      break
    case 'unusable':
      refuse(`${REFUSALS.unusable}: ${letter.reason}`)
      break
    case 'other-letter':
      refuse(`${REFUSALS['other-letter']} (${letter.letterId})`)
      break
  }
}

/** Polls until each enqueued letter is resolved or has failed again. */
async function untilSettled(options: ReplayLettersOptions, enqueued: readonly Enqueued[], report: LettersReport) {
  const applied: string[] = []
  const failedAgain: string[] = []
  let waiting = enqueued
  while (waiting.length > 0 && !options.signal.aborted) {
    const progress = await readReplayProgress(options.prisma, waiting.slice(0, 500))
    for (const [id, state] of progress) {
      if (state === 'replayed') applied.push(id)
      if (state === 'failed-again') failedAgain.push(id)
    }
    waiting = waiting.filter(({ id }) => (progress.get(id) ?? 'under-way') === 'under-way')
    options.onProgress(`${applied.length + failedAgain.length}/${enqueued.length} letters settled`)
    if (waiting.length > 0) await pause(POLL_MS, undefined, { signal: options.signal }).catch(() => undefined)
  }
  report.applied = applied
  report.failed_again = failedAgain
  options.counts['applied'] = applied.length
  options.counts['failed_again'] = failedAgain.length
}

/**
 * Puts dead letters into the queue as if they had been delivered again, at the pacer's rate; success marks them as
 * replayed. Each page of letters is read anew, so a letter that fails again meanwhile is not taken twice.
 */
export async function replayLetters(options: ReplayLettersOptions): Promise<LettersReport> {
  const { prisma, selection, signal, counts, nowMs } = options
  const report: LettersReport = {
    enqueued: [], refused: [], already_replayed: [], missing: [], applied: null, failed_again: null,
  } // prettier-ignore
  const seen = new Set<string>()
  const enqueued: Enqueued[] = []
  for (let after = '0'; !signal.aborted;) {
    const letters = await readReplayableLetters(prisma, selection, { after, nowMs })
    for (const letter of letters) {
      if (signal.aborted) break
      seen.add(letter.id)
      await replayOne(options, letter, report)
      if (letter.verdict === 'usable') enqueued.push({ id: letter.id, failedAt: letter.failedAt })
      counts['enqueued'] = report.enqueued.length
      counts['refused'] = report.refused.length
      options.onProgress(`${seen.size} letters looked at, ${report.enqueued.length} enqueued`)
    }
    const last = letters.at(-1)
    if (last === undefined) break
    after = last.id
  }
  if ('ids' in selection) report.missing = selection.ids.filter((id) => !seen.has(String(BigInt(id))))
  if (options.wait) await untilSettled(options, enqueued, report)
  return report
}
