import {
  columnKinds,
  copyJson,
  snapshotColumns,
  timeColumns,
  parseTimestamp,
  setMember,
  snakeCase,
  type JsonValue,
} from '@persona-ingest/persona'

/** A JSON object: neither a list, nor a date, nor an exact number, which have classes of their own. */
export type Members = Readonly<Record<string, unknown>>

/** True for a {@link Members}. */
export function isMembers(value: unknown): value is Members {
  if (typeof value !== 'object' || value === null) return false
  const prototype: unknown = Object.getPrototypeOf(value)
  return prototype === Object.prototype || prototype === null
}

/** The replacement of a masked value. */
export const MASK = '•••'

/** The name of an attribute or a field; a key of another form, such as an e-mail address, is data itself. */
const NAME = /^[A-Za-z_][\w.:/-]{0,99}$/
const ID = /^[A-Za-z0-9_-]{1,255}$/
/** An event's name or an object's type: `inquiry.approved`, `verification/government-id`. */
const TYPE = /^[a-z][a-z0-9_./-]{0,254}$/
const MAX_STATUS_CHARACTERS = 64

/** Columns without personal data; every other column is masked, also one that a later migration adds. */
const SAFE_COLUMNS: ReadonlySet<string> = new Set([
  'id',
  'environment',
  'status',
  'type',
  'name',
  'outcome',
  'inquiry_id',
  'resource_type',
  'resource_id',
  'event_id',
  'event_name',
  'event_created_at',
  'event_rank',
  'received_at',
  'processed_at',
  'pruned_at',
  'verifications',
  ...Object.values(snapshotColumns).flatMap((columns) =>
    columns.filter(({ kind }) => !columnKinds[kind].isPersonal).map(({ name }) => name),
  ),
])
const SAFE_TIMES: ReadonlySet<string> = new Set([...timeColumns('inquiry'), ...timeColumns('verification')])

/** Replaces a key that is not a name. */
function shownKey(key: string, index: number): string {
  return NAME.test(key) ? key : `${MASK} ${index + 1}`
}

/** Copies members: keys that are not names are replaced, and `mask` gives each value. */
function mapMembers(members: Members, mask: (value: unknown, key: string) => JsonValue): JsonValue {
  return Object.fromEntries(
    Object.entries(members).map(([key, value], index) => [shownKey(key, index), mask(value, key)]),
  )
}

function maskLeaf(value: unknown): JsonValue {
  if (value === null || value === undefined) return null
  if (typeof value === 'string' || value instanceof Date) return MASK
  return typeof value === 'boolean' ? `${MASK} boolean` : `${MASK} number`
}

/** Masks a document of any depth; `keepText` gives the texts that stay, undefined for all others. */
function maskDeep(value: unknown, keepText: (text: string, key: string) => JsonValue | undefined): JsonValue {
  if (value === undefined || value instanceof Date) return maskLeaf(value)
  return copyJson(value as JsonValue, null, {
    leaf: maskLeaf,
    fill: (source, target, copy) => {
      for (const [index, [key, member]] of Object.entries(source).entries()) {
        const kept = typeof member === 'string' ? keepText(member, key) : undefined
        const masked = kept ?? ((member as unknown) instanceof Date ? MASK : copy(member, null))
        setMember(target, shownKey(key, index), masked)
      }
    },
  })
}

/** Masks every value; keys, the lengths of lists, the kinds of values and null stay. */
export function maskValue(value: unknown): JsonValue {
  return maskDeep(value, () => undefined)
}

function keepText(value: unknown, isSafe: (text: string) => boolean): JsonValue {
  return typeof value === 'string' && isSafe(value) ? value : maskValue(value)
}

const isId = (text: string): boolean => ID.test(text)
const isType = (text: string): boolean => TYPE.test(text)
const isStatus = (text: string): boolean => text.length <= MAX_STATUS_CHARACTERS
const isTime = (text: string): boolean => parseTimestamp(text) !== null

function keepIdentity(value: unknown, key: string): JsonValue | undefined {
  if (key === 'id') return keepText(value, isId)
  return key === 'type' ? keepText(value, isType) : undefined
}

/** Masks relationships except types and ids. */
function maskRelationships(value: unknown): JsonValue {
  return maskDeep(value, keepIdentity)
}

/** Compares names of all three casings by their words. */
function isAttribute(key: string, name: string): boolean {
  return snakeCase(key, 'camel') === name
}

function maskAttribute(value: unknown, key: string): JsonValue {
  if (key === 'status') return keepText(value, isStatus)
  return SAFE_TIMES.has(snakeCase(key, 'camel')) ? keepText(value, isTime) : maskValue(value)
}

/** Masks a JSON:API object except its type, id, status, times and relationships. */
function maskObject(value: unknown): JsonValue {
  if (!isMembers(value)) return maskValue(value)
  return mapMembers(value, (member, key) => {
    if (key === 'relationships') return maskRelationships(member)
    if (key === 'attributes' && isMembers(member)) return mapMembers(member, maskAttribute)
    return keepIdentity(member, key) ?? maskValue(member)
  })
}

function maskPayload(value: unknown): JsonValue {
  if (!isMembers(value)) return maskValue(value)
  return mapMembers(value, (member, key) => {
    if (key === 'data') return maskObject(member)
    return key === 'included' && Array.isArray(member) ? member.map(maskObject) : maskValue(member)
  })
}

function maskEventAttribute(value: unknown, key: string): JsonValue {
  if (key === 'payload') return maskPayload(value)
  if (key === 'name') return keepText(value, isType)
  return isAttribute(key, 'created_at') ? keepText(value, isTime) : maskValue(value)
}

/**
 * Masks the document of an event by an allowlist of places: structure, keys, ids, types, the event's name, statuses, times
 * and relationships stay. Safe for documents that are not events, in any casing.
 */
export function maskEventDocument(document: unknown): JsonValue {
  if (!isMembers(document)) return maskValue(document)
  return mapMembers(document, (data, place) => {
    if (place !== 'data' || !isMembers(data)) return maskValue(data)
    return mapMembers(data, (member, key) => {
      if (key === 'attributes' && isMembers(member)) return mapMembers(member, maskEventAttribute)
      return keepIdentity(member, key) ?? maskValue(member)
    })
  })
}

function maskColumn(value: unknown, column: string): unknown {
  if (SAFE_COLUMNS.has(column)) return value
  if (column === 'relationships') return maskRelationships(value)
  return column === 'payload' ? maskEventDocument(value) : maskValue(value)
}

/** Masks a row of `inquiries`, `verifications`, `resources` or `events`; every column except the safe ones. */
export function maskRow<Row extends object>(row: Row): Row {
  return Object.fromEntries(Object.entries(row).map(([column, value]) => [column, maskColumn(value, column)])) as Row
}
