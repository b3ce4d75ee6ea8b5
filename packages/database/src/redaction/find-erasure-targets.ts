import { CodedError } from '@persona-ingest/core'
import {
  attributeText,
  type EventObject,
  type JsonObject,
  type ObjectFamily,
  parseExact,
} from '@persona-ingest/persona'
import type { Database } from '../database.ts'
import { decryptDocument } from '../sql/row-values.ts'
import { type OnUndecryptable, decryptOrReport, type SqlExecutor } from '../sql/executor.ts'
import { allDeadLetters, eventsWithWords, type ScanProgress } from './scan-log.ts'

const ROWS_PER_PAGE = 5_000

/**
 * Attributes have no index, so pages keep each statement within its timeout. Encrypted attributes come along and are
 * decrypted here.
 */
const accountsPageSql = `
WITH page AS (SELECT id, type, attributes FROM resources WHERE id > $1 ORDER BY id LIMIT ${ROWS_PER_PAGE})
SELECT max(id) AS last,
  array_agg(id) FILTER (WHERE type = 'account' AND attributes->>'reference_id' = $2) AS found,
  json_agg(json_build_array(id, attributes::text))
    FILTER (WHERE type = 'account' AND jsonb_typeof(attributes) = 'string') AS encrypted
FROM page`

type Page = {
  readonly last: string | null
  readonly found: readonly string[] | null
  readonly encrypted: readonly (readonly [id: string, attributes: string])[] | null
}

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
    for (const [id, encrypted] of page?.encrypted ?? []) {
      const decrypt = () => decryptDocument(encrypted, ['resources', id, 'attributes'], executor.keys)
      const attributes = decryptOrReport(executor, { table: 'resources', id }, decrypt)
      if (attributes !== null && referenceIdIn(attributes) === referenceId) accountIds.add(id)
    }
    after = page?.last ?? null
  }
  return { inquiryIds: new Set(inquiries.map(({ id }) => id)), accountIds }
}

/** The meanings of the text that names what to erase. */
export const erasureSubjects = ['inquiry', 'account', 'reference-id'] as const
export type ErasureSubject = (typeof erasureSubjects)[number]

/** An object to erase; of an inquiry also all objects that it ever claimed. */
export type ErasureTarget = {
  readonly id: string
  /** The family of its table; of an object that is not stored yet, a guess by the prefix of its id. */
  readonly family: ObjectFamily
}

/** All targets of an erasure. */
export type ErasureTargets = {
  /** `object`: any other object, named by its id. */
  readonly subject: ErasureSubject | 'object'
  readonly inquiryIds: readonly string[]
  readonly accountIds: readonly string[]
  readonly others: readonly ErasureTarget[]
  /** Dead letters that are no events and contain the reference id. */
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
  /** The meaning of the text. Default: an object's id where there is one, else a reference id. */
  readonly as?: ErasureSubject | undefined
  readonly onProgress?: ((progress: ScanProgress) => void) | undefined
  /** Gets rows that can't be decrypted, and the search goes on. Without it the search rejects. */
  readonly onUndecryptable?: OnUndecryptable | undefined
}

function referenceIdOf({ snapshot }: EventObject): string | null {
  const { family, columns, attributes } = snapshot
  return family === 'inquiry'
    ? ((columns['reference_id'] ?? null) as string | null)
    : attributeText(attributes['reference_id'])
}

/** Visits every stored snapshot, in the log and in dead letters, that contains one of the words. */
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

/** The inquiries that belong to an account by a row or by any stored snapshot. */
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

/** An object of the database. The prefix of the id gives the family of an object that only dead letters name. */
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
 * Finds the targets of an erasure: an inquiry, an account with its inquiries, all inquiries and accounts that ever had a
 * reference id, or any other object. Null where nothing is stored. Rejects with `ERASURE_SUBJECT_AMBIGUOUS`.
 */
export async function findErasureTargets(
  database: Database,
  asked: string,
  options: FindOptions = {},
): Promise<ErasureTargets | null> {
  // An empty text would be the reference id of many people.
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
