import {
  columnName,
  inquiries,
  resources,
  verifications,
  type Inquiry,
  type Resource,
  type Table,
  type Verification,
} from './columns.ts'
import { decodeRow, selected, type DecodedRow, type JsonRow, type RowSource } from './row-values.ts'

export type PageOptions = {
  /**
   * `newest` (the default): by the newest event, rows without one last. `id`: by the id, which never changes and costs the same
   * for every page: for a walk through all rows.
   */
  readonly order?: 'newest' | 'id' | undefined
  /** Rows of a page, 1 to 1,000. Default 100. */
  readonly limit?: number | undefined
  /** The `next` of the page before, with the same order and conditions. Default, and null: the first page. */
  readonly after?: string | null | undefined
}

type Condition = string | readonly string[]

/** Conditions on inquiries: all must hold; of several values one. */
export type InquiryFilter = PageOptions & {
  readonly status?: Condition | undefined
  readonly environment?: 'production' | 'sandbox' | undefined
  readonly referenceId?: Condition | undefined
  readonly accountId?: Condition | undefined
  readonly templateId?: Condition | undefined
}

/** Conditions on objects of inquiries: all must hold; of several values one. */
export type LinkedFilter = PageOptions & {
  readonly status?: Condition | undefined
  readonly environment?: 'production' | 'sandbox' | undefined
  readonly inquiryId?: Condition | undefined
  /** In full, such as `verification/selfie`. */
  readonly type?: Condition | undefined
}

export type Page<Row> = {
  readonly rows: readonly Row[]
  /** The place of the next page; null where this is the last one. */
  readonly next: string | null
}

/** What a page is ordered by, as SQL of PostgreSQL's own types, and the type of each value in a cursor. */
const ORDERS = {
  newest: [
    [`COALESCE(t.event_created_at, '-infinity')`, 'timestamptz'],
    ['COALESCE(t.event_rank, -1)', 'smallint'],
    [`COALESCE(t.event_id, '') COLLATE "C"`, 'text'],
    ['t.id', 'text'],
  ],
  id: [['t.id', 'text']],
} as const

const MAX_LIMIT = 1_000
const DEFAULT_LIMIT = 100

/** Reads the values of a cursor. Throws a `RangeError` for a text that is none of this order. */
function parseCursor(text: string, order: keyof typeof ORDERS): readonly string[] {
  try {
    const [kind, ...values] = JSON.parse(Buffer.from(text, 'base64url').toString()) as unknown[]
    const areTexts = values.every((value) => typeof value === 'string' && !value.includes('\0'))
    if (kind === order && areTexts && values.length === ORDERS[order].length) return values as string[]
  } catch {
    // Reported below.
  }
  throw new RangeError('Expected the next of a page of the same order as after')
}

function formatCursor(order: string, values: readonly string[]): string {
  return Buffer.from(JSON.stringify([order, ...values])).toString('base64url')
}

type ListOptions = {
  readonly table: Table
  readonly conditions: Readonly<Record<string, Condition | undefined>>
  readonly page: PageOptions
}

/** A time of a cursor, whose text depends on no setting. */
const cursorValue = ([sql, type]: readonly [string, string]): string =>
  type === 'timestamptz' ? `to_json(${sql})#>>'{}'` : `(${sql})::text`

function listSql({ table, conditions, page }: ListOptions) {
  const { order = 'newest', limit = DEFAULT_LIMIT, after } = page
  if (!Number.isInteger(limit) || limit < 1 || limit > MAX_LIMIT)
    throw new RangeError(`Expected a limit from 1 to ${MAX_LIMIT}`)
  const values: unknown[] = []
  const parameter = (value: unknown): string => `$${values.push(value)}`
  const where = Object.entries(conditions).flatMap(([name, value]) =>
    value === undefined ? [] : [`t.${columnName(name)} = ANY(${parameter([value].flat())}::text[])`],
  )
  const keys: readonly (readonly [string, string])[] = ORDERS[order]
  if (after !== undefined && after !== null) {
    const place = parseCursor(after, order).map((value, index) => `${parameter(value)}::${keys[index]?.[1]}`)
    where.push(`(${keys.map(([sql]) => sql).join(', ')}) ${order === 'id' ? '>' : '<'} (${place.join(', ')})`)
  }
  const text = `
SELECT to_json(r) AS row FROM (
  SELECT ${selected(table.columns)}, json_build_array(${keys.map(cursorValue).join(', ')}) AS place
  FROM public.${table.name} t ${where.length === 0 ? '' : `WHERE ${where.join(' AND ')}`}
  ORDER BY ${keys.map(([sql]) => `${sql} ${order === 'id' ? 'ASC' : 'DESC'}`).join(', ')}
  LIMIT ${limit + 1}
) r`
  return { text, values, order, limit }
}

async function list(source: RowSource, options: ListOptions): Promise<Page<DecodedRow>> {
  const { text, values, order, limit } = listSql(options)
  const found = (await source.run(text, values)).map((row) => JSON.parse(row['row'] ?? '') as JsonRow)
  const { table } = options
  // One more row shows whether there is a next page.
  const page = found.slice(0, limit)
  const rows = page.map((row) => decodeRow({ row, table, keys: source.keys, columns: table.columns }))
  const place = page.at(-1)?.['place'] as readonly string[] | undefined
  return { rows, next: found.length > limit && place !== undefined ? formatCursor(order, place) : null }
}

export async function listInquiries(source: RowSource, filter: InquiryFilter): Promise<Page<Inquiry>> {
  const { status, environment, referenceId, accountId, templateId } = filter
  const conditions = { status, environment, referenceId, accountId, templateId }
  return (await list(source, { table: inquiries, conditions, page: filter })) as unknown as Page<Inquiry>
}

async function listLinked(source: RowSource, table: Table, filter: LinkedFilter): Promise<Page<DecodedRow>> {
  const { status, environment, inquiryId, type } = filter
  return list(source, { table, conditions: { status, environment, inquiryId, type }, page: filter })
}

export async function listVerifications(source: RowSource, filter: LinkedFilter): Promise<Page<Verification>> {
  return (await listLinked(source, verifications, filter)) as unknown as Page<Verification>
}

export async function listResources(source: RowSource, filter: LinkedFilter): Promise<Page<Resource>> {
  return (await listLinked(source, resources, filter)) as unknown as Page<Resource>
}
