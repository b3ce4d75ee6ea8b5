import { parseInquiryCursor, type InquiryCursor, type LetterSelection } from '@persona-ingest/database'
import { parseTimestamp } from '@persona-ingest/persona'
import { scenarios, type Scenario } from '@persona-ingest/simulator'
import { InvalidArgumentError, Option, type Command } from 'commander'

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

/** The id of a row, as text: a bigint may be beyond what JavaScript counts exactly. */
export function rowId(text: string): string {
  if (/^\d{1,18}$/.test(text)) return text
  throw new InvalidArgumentError('Expected an id, a whole number.')
}

export function deadLetterId(text: string): string {
  if (/^\d{1,18}$/.test(text)) return text
  throw new InvalidArgumentError('Expected the id of a dead letter, a whole number.')
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

/** A number of `min` or more. */
export function number(min: number): (text: string) => number {
  return (text) => {
    const value = /^\d{1,12}(\.\d{1,6})?$/.test(text) ? Number(text) : Number.NaN
    if (value >= min) return value
    throw new InvalidArgumentError(`Expected a number of ${min} or more.`)
  }
}

function listItems(text: string): readonly string[] {
  return text
    .split(',')
    .map((item) => item.trim())
    .filter((item) => item !== '')
}

/** A comma-separated list; given again, it goes on. */
export function secretList(text: string, earlier: readonly string[] = []): readonly string[] {
  return [...earlier, ...listItems(text)]
}

const isScenario = (name: string): name is Scenario => (scenarios as readonly string[]).includes(name)

export function scenarioList(text: string): readonly Scenario[] {
  const names = listItems(text)
  const known = names.filter(isScenario)
  if (names.length > 0 && known.length === names.length) return known
  throw new InvalidArgumentError(`Expected names out of ${scenarios.join(', ')}.`)
}

const WEBHOOK_PATH = '/webhooks/persona'

/** The URL of an ingress, with or without the path of the webhook, which is added where it is missing. */
export function webhookUrl(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : null
  if (url === null || !['http:', 'https:'].includes(url.protocol)) {
    throw new InvalidArgumentError('Expected a URL that begins with http:// or https://.')
  }
  const path = url.pathname.replace(/\/+$/, '')
  url.pathname = path.endsWith(WEBHOOK_PATH) ? path : `${path}${WEBHOOK_PATH}`
  return url.href
}

/** Far below what a worker stores, so that deliveries hardly notice. */
const DEFAULT_RATE = 200

export function rateOption(): Option {
  return new Option('--rate <n>', 'events a second at most').default(DEFAULT_RATE).argParser(wholeNumber(1, 100_000))
}

export function waitOption(): Option {
  return new Option('--wait', 'return when applied, not when enqueued; a worker must run')
}

export type LetterSelectionOptions = { readonly code?: string; readonly all?: true }

function deadLetterIds(text: string, earlier: readonly string[] = []): readonly string[] {
  return [...earlier, deadLetterId(text)]
}

/** Adds the three ways to say which dead letters: by id, by reason code, all. */
export function addLetterSelection(command: Command): Command {
  return command
    .argument('[id...]', 'ids of dead letters, whole numbers', deadLetterIds)
    .addOption(
      new Option('--code <code>', 'all open ones with this reason code, such as INVALID_JSON').conflicts('all'),
    )
    .addOption(new Option('--all', 'all open ones'))
}

/** Reads them; exactly one way must be used, else the command ends as wrongly used. */
export function letterSelection(
  ids: readonly string[] | undefined,
  { code, all }: LetterSelectionOptions,
  command: Command,
): LetterSelection {
  const hasIds = ids !== undefined && ids.length > 0
  if ([hasIds, code !== undefined, all === true].filter(Boolean).length !== 1) {
    command.error('error: say which dead letters: ids, --code <code> or --all', { exitCode: 2 })
  }
  return hasIds ? { ids } : { reason: code ?? null }
}

/** What the record of operations says of it. */
export function selectionArguments(selection: LetterSelection): Readonly<Record<string, unknown>> {
  return 'ids' in selection ? { ids: selection.ids } : { code: selection.reason ?? 'all' }
}
