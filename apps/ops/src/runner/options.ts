import {
  parseInquiryCursor,
  type EventSelection,
  type InquiryCursor,
  type DeadLetterSelection,
} from '@persona-ingest/database'
import type { Actor } from '@persona-ingest/operations'
import { parseTimestamp } from '@persona-ingest/persona'
import { InvalidArgumentError, Option, type Command } from 'commander'
import { userInfo } from 'node:os'

const MAX_LIMIT = 1_000

/** A whole number from `min` to `max`. */
export function wholeNumber(min: number, max: number): (text: string) => number {
  return (text) => {
    const value = /^\d{1,15}$/.test(text) ? Number(text) : Number.NaN
    if (value >= min && value <= max) return value
    throw new InvalidArgumentError(`Expected a whole number, ${min} to ${max}.`)
  }
}

export function limitOption(): Option {
  return new Option('--limit <n>', `rows at most, up to ${MAX_LIMIT}`).default(20).argParser(wholeNumber(1, MAX_LIMIT))
}

export function jsonOption(): Option {
  return new Option('--json', 'print one JSON document')
}

export function revealOption(): Option {
  return new Option('--reveal', 'show personal data as it is, not masked')
}

/** The id of a row, as text: a bigint may be above JavaScript's largest exact integer. */
export function rowId(text: string): string {
  if (/^\d{1,18}$/.test(text)) return text
  throw new InvalidArgumentError('Expected an id, a whole number.')
}

/** A tick of the change feed. */
export function tick(text: string): bigint {
  if (/^\d{1,18}$/.test(text)) return BigInt(text)
  throw new InvalidArgumentError('Expected a tick, a whole number.')
}

export function deadLetterId(text: string): string {
  if (/^\d{1,18}$/.test(text)) return text
  throw new InvalidArgumentError('Expected the id of a dead letter, a whole number.')
}

/** An id of an object or a reference id. */
export function subject(text: string): string {
  if (text !== '') return text
  throw new InvalidArgumentError('Expected an id or a reference id.')
}

/** A time in ISO 8601 with a zone. */
export function time(text: string): Date {
  const milliseconds = parseTimestamp(text)
  if (milliseconds !== null) return new Date(milliseconds)
  throw new InvalidArgumentError('Expected a time in ISO 8601 with a zone, such as 2026-02-03T10:00:00Z.')
}

export function inquiryCursor(text: string): InquiryCursor {
  const cursor = parseInquiryCursor(text)
  if (cursor !== null) return cursor
  throw new InvalidArgumentError('Expected what an earlier page named as the next one.')
}

export function environmentOption(): Option {
  return new Option('--environment <name>', 'only this environment').choices(['production', 'sandbox'])
}

/** Far below the rate of one worker, so that deliveries are hardly delayed. */
const DEFAULT_RATE = 200

export function rateOption(): Option {
  return new Option('--rate <n>', 'events a second at most').default(DEFAULT_RATE).argParser(wholeNumber(1, 100_000))
}

export function waitOption(): Option {
  return new Option('--wait', 'return when applied, not when enqueued; a worker must run')
}

export type DeadLetterSelectionOptions = { readonly code?: string; readonly all?: true }

function deadLetterIds(text: string, earlier: readonly string[] = []): readonly string[] {
  return [...earlier, deadLetterId(text)]
}

/** Adds the three ways to select dead letters: by id, by reason code, all. */
export function addDeadLetterSelection(command: Command): Command {
  return command
    .argument('[id...]', 'ids of dead letters, whole numbers', deadLetterIds)
    .addOption(
      new Option('--code <code>', 'all open ones with this reason code, such as INVALID_JSON').conflicts('all'),
    )
    .addOption(new Option('--all', 'all open ones'))
}

/** Reads the selection; unless exactly one way is used, the command ends as wrongly used. */
export function deadLetterSelection(
  ids: readonly string[] | undefined,
  { code, all }: DeadLetterSelectionOptions,
  command: Command,
): DeadLetterSelection {
  const hasIds = ids !== undefined && ids.length > 0
  if ([hasIds, code !== undefined, all === true].filter(Boolean).length !== 1) {
    command.error('error: say which dead letters: ids, --code <code> or --all', { exitCode: 2 })
  }
  return hasIds ? { ids } : { reason: code ?? null }
}

export type EventSelectionOptions = { readonly inquiry?: string; readonly since?: Date; readonly until?: Date }

/** Adds the ways to select events of the log: ids, or an inquiry and a range of time. */
export function addEventSelection(command: Command): Command {
  return command
    .argument('[event...]', 'ids of events (evt_...)')
    .option('--inquiry <id>', 'the events of this inquiry (inq_...) and of its objects')
    .addOption(new Option('--since <time>', 'received at this time (ISO 8601 with a zone) or later').argParser(time))
    .addOption(new Option('--until <time>', 'received before this time').argParser(time))
}

/** Reads the selection; unless exactly one way is used, the command ends as wrongly used. */
export function eventSelection(
  ids: readonly string[],
  { inquiry: inquiryId, since, until }: EventSelectionOptions,
  command: Command,
  nowMs: number,
): EventSelection {
  const isRange = since !== undefined || until !== undefined
  if ([ids.length > 0, inquiryId !== undefined || isRange].filter(Boolean).length !== 1) {
    command.error('error: say which events: ids, or --inquiry and --since/--until', { exitCode: 2 })
  }
  if (ids.length > 0) return { ids: [...new Set(ids)] }
  // Events that arrive while the command runs are not selected.
  return { inquiryId, since, until: until ?? new Date(nowMs) }
}

export type AuditOptions = { readonly reason?: string | undefined; readonly by?: string | undefined }

/** Adds `--reason` and `--by` to a command that changes what is stored. */
export function addAuditOptions(command: Command): Command {
  return command
    .addOption(new Option('--reason <text>', 'why, for the record of operations; no personal data'))
    .addOption(new Option('--by <name>', 'who, for the record of operations (default: the user of this machine)'))
}

function systemUser(): string {
  try {
    return userInfo().username
  } catch {
    // A container may run under a number that has no name.
    return `uid ${process.getuid?.() ?? 'unknown'}`
  }
}

/** The operator and the reason for the record of operations. */
export function actorOf({
  reason = null,
  by = systemUser(),
}: {
  reason?: string | null | undefined
  by?: string | undefined
}): Actor {
  return { operator: by, reason }
}
