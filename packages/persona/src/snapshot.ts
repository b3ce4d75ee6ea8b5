import { isLosslessNumber } from 'lossless-json'
import { AttributeColumns, type Casing, leafText, recaseKeys, recaseObject } from './attributes.ts'
import { columnKinds, snapshotColumns, type ColumnValue, type ObjectFamily, type SnapshotColumn } from './columns.ts'
import { isJsonObject, type JsonObject, type JsonValue, own } from './json.ts'

/** A JSON:API resource identifier: the id and type of an object that a relationship names. */
export type Reference = { readonly id: string; readonly type: string }

/** Returns an id that can be a row's key: a non-empty string of at most 255 characters; else null. */
export function readId(value: JsonValue | undefined): string | null {
  if (typeof value !== 'string' || value === '') return null
  return value.length <= 255 || (value.length <= 510 && Array.from(value).length <= 255) ? value : null
}

function readReference(value: JsonValue): Reference | null {
  if (!isJsonObject(value)) return null
  const id = readId(own(value, 'id'))
  const type = own(value, 'type')
  return id === null || typeof type !== 'string' || type === '' ? null : { id, type }
}

/**
 * Reads an object's `relationships` as a map of snake_case name to `data`: an object, a list or null. A relationship
 * without data (`{}`) or of any other kind becomes null.
 */
export function readRelationships(value: JsonValue | undefined, casing: Casing): JsonObject {
  if (!isJsonObject(value)) return {}
  return recaseObject(value, casing, (relation) => {
    const data = isJsonObject(relation) ? own(relation, 'data') : null
    return isJsonObject(data) || Array.isArray(data) ? recaseKeys(data, casing) : null
  })
}

/** Returns the objects that relationships name, in their order. A relationship without id or type is skipped. */
export function referencesOf(relationships: JsonObject): readonly Reference[] {
  const references: Reference[] = []
  const add = (data: JsonValue): void => {
    const reference = readReference(data)
    if (reference !== null) references.push(reference)
  }
  for (const name of Object.keys(relationships)) {
    const data = relationships[name] as JsonValue
    if (Array.isArray(data)) for (const each of data) add(each)
    else add(data)
  }
  return references
}

/** Returns the id that a to-one relationship names; null where it names none. `name` is in snake_case. */
export function relatedId(relationships: JsonObject, name: string): string | null {
  const data = own(relationships, name)
  return isJsonObject(data) ? readId(own(data, 'id')) : null
}

/** Types whose objects belong to an inquiry, also with a sub-type behind a slash. */
const LINKED_TYPES = new Set(['verification', 'report', 'document', 'selfie'])

/** Types whose redaction the provider announces, by an attribute of the object or by an event about it. */
const REDACTABLE_TYPES = new Set(['inquiry', 'account', 'transaction', 'case'])

/** Returns the family of a JSON:API type such as `verification/selfie`. Any unknown type is a `resource`. */
export function familyOf(type: string | null): ObjectFamily {
  if (type === 'inquiry') return 'inquiry'
  return type === 'verification' || type?.startsWith('verification/') ? 'verification' : 'resource'
}

/** Tells whether rows of a type have an `inquiry_id`. */
export function carriesInquiryId(type: string | null): boolean {
  if (type === null) return false
  return type === 'inquiry-session' || type === 'session' || LINKED_TYPES.has(type.split('/', 1)[0] as string)
}

/** Tells whether the provider announces redactions of objects of a type. */
export function isRedactable(type: string | null): boolean {
  return type !== null && REDACTABLE_TYPES.has(type)
}

/** The state of one object as one event reports it, with snake_case keys, split into the columns of its table. */
export type Snapshot = {
  readonly family: ObjectFamily
  readonly type: string | null
  /** The values of {@link snapshotColumns}, by column. */
  readonly columns: Readonly<Record<string, ColumnValue>>
  /** The attributes that no column holds. */
  readonly attributes: JsonObject
  readonly relationships: JsonObject
}

/** One object of an event: its snapshot, and separately the status and the redaction, which have rules of their own. */
export type ObjectReading = {
  readonly id: string
  readonly snapshot: Snapshot
  /** The status in the attributes where it is a non-empty string. */
  readonly status: string | null
  /** True where the attributes have no status at all, so that the event's name may give one. */
  readonly lacksStatus: boolean
  /** True where the provider says that this object was redacted. */
  readonly isRedacted: boolean
}

function readAttributes(value: JsonValue | undefined, casing: Casing): JsonObject {
  if (!isJsonObject(value)) return {}
  // Keys below `fields` are named by the customer, so that their casing stays.
  return recaseObject(value, casing, (member, name) => (name === 'fields' ? member : recaseKeys(member, casing)))
}

function readColumn(attributes: AttributeColumns, relationships: JsonObject, column: SnapshotColumn): ColumnValue {
  const { name, kind } = column
  switch (kind) {
    case 'text':
      return attributes.text(name)
    case 'time':
      return attributes.time(name)
    case 'texts':
      return attributes.texts(name)
    case 'object':
      return attributes.object(name, isJsonObject) ?? columnKinds.object.empty
    case 'list':
      return attributes.object(name, Array.isArray) ?? columnKinds.list.empty
    case 'related':
      for (const relationship of column.relationships ?? []) {
        const id = relatedId(relationships, relationship)
        if (id !== null) return id
      }
      return null
  }
}

function readSnapshot(type: string | null, attributes: AttributeColumns, relationships: JsonObject): Snapshot {
  const family = familyOf(type)
  const columns: Record<string, ColumnValue> = {}
  for (const column of snapshotColumns[family]) {
    columns[column.name] = readColumn(attributes, relationships, column)
  }
  return { family, type, columns, attributes: attributes.rest(), relationships }
}

/** Returns a type as text: a number or boolean as its JSON text, an empty text or any other kind as null. */
export function readType(value: JsonValue | undefined): string | null {
  if (typeof value === 'string') return value === '' ? null : value
  if (typeof value === 'number' || typeof value === 'boolean' || isLosslessNumber(value)) return leafText(value)
  return null
}

/**
 * Tells whether a `redacted-at` announces a redaction. Any value except null does, an unreadable time included: data
 * erased by mistake can be fetched again, personal data kept by mistake is a breach.
 */
function announcesRedaction(value: JsonValue | undefined): boolean {
  return value !== undefined && value !== null
}

/** Reads one JSON:API object. Returns null where its id cannot be a row's key. */
export function readObject(value: JsonValue, casing: Casing): ObjectReading | null {
  if (!isJsonObject(value)) return null
  const id = readId(own(value, 'id'))
  if (id === null) return null
  const attributes = readAttributes(own(value, 'attributes'), casing)
  const statusAttribute = own(attributes, 'status') ?? null
  const isRedacted = announcesRedaction(own(attributes, 'redacted_at'))
  const relationships = readRelationships(own(value, 'relationships'), casing)
  const columns = new AttributeColumns(attributes)
  const status = columns.status()
  const snapshot = readSnapshot(readType(own(value, 'type')), columns, relationships)
  return { id, snapshot, status, lacksStatus: statusAttribute === null, isRedacted }
}

/**
 * The status that an event's name gives the object in `payload.data` where its attributes have none: a webhook's
 * attribute blocklist can remove `status`. Some names differ from their statuses.
 */
const STATUS_BY_EVENT_NAME: ReadonlyMap<string, string> = new Map([
  ['inquiry.created', 'created'],
  ['inquiry.started', 'pending'],
  ['inquiry.completed', 'completed'],
  ['inquiry.failed', 'failed'],
  ['inquiry.expired', 'expired'],
  ['inquiry.approved', 'approved'],
  ['inquiry.declined', 'declined'],
  ['inquiry.marked-for-review', 'needs_review'],
  ['verification.created', 'initiated'],
  ['verification.submitted', 'submitted'],
  ['verification.passed', 'passed'],
  ['verification.failed', 'failed'],
  ['verification.canceled', 'canceled'],
  ['verification.skipped', 'skipped'],
  ['verification.requires-retry', 'requires_retry'],
])

/** Returns the status that an event name gives; null where it gives none or concerns another family. */
export function statusByEventName(name: string, family: string): string | null {
  return name.startsWith(`${family}.`) ? (STATUS_BY_EVENT_NAME.get(name) ?? null) : null
}
