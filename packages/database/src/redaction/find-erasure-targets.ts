import { CodedError } from '@persona-ingest/core'
import {
  attributeText,
  type EventObject,
  type JsonObject,
  type ObjectFamily,
  parseExact,
} from '@persona-ingest/persona'
import type { Database } from '../database.ts'
import { type OnUndecryptable, decryptOrReport, type SqlExecutor } from '../sql/executor.ts'

import { allDeadLetters, eventsWithWords, type ScanProgress } from './scan-log.ts'

import { decryptDocument } from '../sql/encrypted-values.ts'

const ROWS_PER_PAGE = 5_000

/**
 * Attributes have no index: page by page, so that each statement ends well within its timeout. Those that are sealed come
 * along, to be opened here.
 */
const accountsPageSql = `
WITH page AS (SELECT id, type, attributes FROM resources WHERE id > $1 ORDER BY id LIMIT ${ROWS_PER_PAGE})
SELECT max(id) AS last,
  array_agg(id) FILTER (WHERE type = 'account' AND attributes->>'reference_id' = $2) AS found,
  json_agg(json_build_array(id, attributes::text))
    FILTER (WHERE type = 'account' AND jsonb_typeof(attributes) = 'string') AS sealed
FROM page`

type Page = {
  readonly last: string | null
  readonly found: readonly string[] | null
  readonly sealed: readonly (readonly [id: string, attributes: string])[] | null
}

/** The text of an account's attribute, from the JSON text of all. */
function referenceIdIn(attributes: string): string | null {
  return attributeText((parseExact(attributes) as JsonObject)['reference_id'])
}

/** The inquiries and accounts whose rows show a reference id. */
async function findByReferenceInRows(
  executor: SqlExecutor,
  referenceId: string,
): Promise<{ readonly inquiryIds: Set<string>; readonly accountIds: Set<string> }> {
  const inquiries = await executor.query<{ id: string }>('SELECT id FROM inquiries WHERE reference_id = $1', [
    referenceId,
  ])
  const accountIds = new Set<string>()
  for (let after: string | null = ''; after !== null;) {
    const [page]: readonly Page[] = await executor.query<Page>(accountsPageSql, [after, referenceId])
    for (const id of page?.found ?? []) accountIds.add(id)
    for (const [id, sealed] of page?.sealed ?? []) {
      const open = () => decryptDocument(sealed, ['resources', id, 'attributes'], executor.keys)
      const attributes = decryptOrReport(executor, { table: 'resources', id }, open)
      if (attributes !== null && referenceIdIn(attributes) === referenceId) accountIds.add(id)
    }
    after = page?.last ?? null
  }
  return { inquiryIds: new Set(inquiries.map(({ id }) => id)), accountIds }
}

/** What a person asked for is taken to be. */
export const erasureSubjects = ['inquiry', 'account', 'reference-id'] as const
export type ErasureSubject = (typeof erasureSubjects)[number]

/** An object to erase by our own word; of an inquiry also whatever it ever claimed, and its own events whole. */
export type ErasureTarget = {
  readonly id: string
  /** Which table it belongs to; for an object that is not stored yet, as far as it can be told. */
  readonly family: ObjectFamily
}

/** All that an erasure is to reach. */
export type ErasureTargets = {
  /** `object`: any other object of the provider's, asked for by its id. */
  readonly subject: ErasureSubject | 'object'
  readonly inquiryIds: readonly string[]
  readonly accountIds: readonly string[]
  readonly others: readonly ErasureTarget[]
  /** Dead letters that are no events but hold the reference id: nothing else leads to them. */
  readonly deadLetterIds: readonly string[]
}

/** Reports a text that is both the id of an object and a reference id. Code: `ERASURE_SUBJECT_AMBIGUOUS`. */
export class AmbiguousSubjectError extends CodedError<'ERASURE_SUBJECT_AMBIGUOUS'> {
  override readonly name = 'AmbiguousSubjectError'

  constructor() {
    super('ERASURE_SUBJECT_AMBIGUOUS', 'Expected an id or a reference id, got what is both')
  }
}

type FindOptions = {
  /** What it is; left out, an object's id before a reference id. */
  readonly as?: ErasureSubject | undefined
  readonly onProgress?: ((progress: ScanProgress) => void) | undefined
  /** Told of what does not open, so that the search goes on without it. Left out, the search rejects. */
  readonly onUndecryptable?: OnUndecryptable | undefined
}

function referenceIdOf({ snapshot }: EventObject): string | null {
  const { family, columns, attributes } = snapshot
  return family === 'inquiry'
    ? ((columns['reference_id'] ?? null) as string | null)
    : attributeText(attributes['reference_id'])
}

/** Looks at every snapshot ever stored, in the log and in dead letters, in which one of the words stands. */
async function findInLog(
  executor: SqlExecutor,
  words: readonly string[],
  visit: (object: EventObject) => void,
  options: FindOptions,
): Promise<readonly string[]> {
  const onProgress = options.onProgress ?? (() => undefined)
  for await (const event of eventsWithWords(executor, words, onProgress))
    for (const object of [event.primary, ...event.included]) visit(object)
  const deadLetterIds: string[] = []
  for await (const { id, event, body } of allDeadLetters(executor)) {
    for (const object of event === null ? [] : [event.primary, ...event.included]) visit(object)
    const text = event === null ? Buffer.from(body).toString('utf8') : ''
    if (words.some((word) => text.includes(JSON.stringify(word)))) deadLetterIds.push(id)
  }
  return deadLetterIds
}

/** The inquiries that any snapshot ever said to be an account's. */
async function inquiriesOf(executor: SqlExecutor, accountIds: ReadonlySet<string>, options: FindOptions) {
  const found = new Set<string>()
  if (accountIds.size === 0) return found
  const rows = await executor.query<{ id: string }>('SELECT id FROM inquiries WHERE account_id = ANY($1::text[])', [
    [...accountIds],
  ])
  for (const { id } of rows) found.add(id)
  const visit = ({ id, snapshot }: EventObject): void => {
    if (snapshot.family === 'inquiry' && accountIds.has((snapshot.columns['account_id'] ?? '') as string)) found.add(id)
  }
  await findInLog(executor, [...accountIds], visit, options)
  return found
}

async function findByReference(executor: SqlExecutor, referenceId: string, options: FindOptions) {
  const { inquiryIds, accountIds } = await findByReferenceInRows(executor, referenceId)
  const visit = (object: EventObject): void => {
    if (referenceIdOf(object) !== referenceId) return
    if (object.snapshot.family === 'inquiry') inquiryIds.add(object.id)
    else if (object.snapshot.type === 'account') accountIds.add(object.id)
  }
  const deadLetterIds = await findInLog(executor, [referenceId], visit, options)
  for (const id of await inquiriesOf(executor, accountIds, options)) inquiryIds.add(id)
  if (inquiryIds.size + accountIds.size + deadLetterIds.length === 0) return null
  const [inquiries, accounts] = [[...inquiryIds].toSorted(), [...accountIds].toSorted()]
  return { subject: 'reference-id', inquiryIds: inquiries, accountIds: accounts, others: [], deadLetterIds } as const
}

type KnownObject = { readonly family: ObjectFamily; readonly isAccount: boolean }

const knownObjectSql = `
SELECT o.family, COALESCE(r.type = 'account', false) AS "isAccount"
FROM objects o LEFT JOIN resources r ON r.id = o.id WHERE o.id = $1`

/** An object that stands in a row, or in a dead letter alone: then the provider's prefix tells what it is. */
async function findObject(executor: SqlExecutor, id: string): Promise<KnownObject | null> {
  const [known] = await executor.query<KnownObject>(knownObjectSql, [id])
  if (known !== undefined) return known
  const deadLetters = await executor.query('SELECT 1 FROM dead_letters WHERE object_ids @> ARRAY[$1::text] LIMIT 1', [
    id,
  ])
  if (deadLetters.length === 0) return null
  const isAccount = id.startsWith('act_')
  return { family: isAccount ? 'resource' : 'inquiry', isAccount }
}

async function findById(executor: SqlExecutor, id: string, options: FindOptions): Promise<ErasureTargets | null> {
  const object = await findObject(executor, id)
  if (object === null) return null
  const subject = object.isAccount ? 'account' : object.family === 'inquiry' ? 'inquiry' : 'object'
  if (options.as !== undefined && options.as !== subject) return null
  const nothing = { inquiryIds: [], accountIds: [], others: [], deadLetterIds: [] }
  if (subject === 'inquiry') return { ...nothing, subject, inquiryIds: [id] }
  if (subject === 'object') return { ...nothing, subject, others: [{ id, family: object.family }] }
  const inquiryIds = [...(await inquiriesOf(executor, new Set([id]), options))].toSorted()
  return { ...nothing, subject, inquiryIds, accountIds: [id] }
}

/**
 * Finds what an erasure asked for by law is to reach: an inquiry, an account with all of its inquiries, everything with
 * a reference id (inquiries and accounts, in their rows and in every older snapshot that is stored), or any other object.
 * Null where nothing is stored of it. Throws {@link AmbiguousSubjectError}.
 */
export async function findErasureTargets(
  database: Database,
  asked: string,
  options: FindOptions = {},
): Promise<ErasureTargets | null> {
  // An empty text is many people's reference id, and nobody's.
  if (asked === '') return null
  const executor = { ...database.sql, onUndecryptable: options.onUndecryptable }
  if (options.as === 'reference-id') return findByReference(executor, asked, options)
  const found = await findById(executor, asked, options)
  if (options.as !== undefined) return found
  if (found === null) return findByReference(executor, asked, options)
  const alike = await executor.query('SELECT 1 FROM inquiries WHERE reference_id = $1 LIMIT 1', [asked])
  if (alike.length > 0) throw new AmbiguousSubjectError()
  return found
}
