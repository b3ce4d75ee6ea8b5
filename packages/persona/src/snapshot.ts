import { isLosslessNumber } from 'lossless-json'
import { AttributeColumns, type Casing, leafText, recaseKeys, recaseObject } from './attributes.ts'
import { isJsonObject, type JsonObject, type JsonValue, own } from './json.ts'

/** A JSON:API resource identifier: one object named by another's relationship. */
export type Reference = { readonly id: string; readonly type: string }

/** An id that a row can be kept under: a non-empty string of at most 255 characters; else null. */
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
 * Reads an object's `relationships` as a map of snake_case name to `data`: an object, a list or null. A relation
 * without data (`{}`), and one of any other kind, is null.
 */
export function readRelationships(value: JsonValue | undefined, casing: Casing): JsonObject {
  if (!isJsonObject(value)) return {}
  return recaseObject(value, casing, (relation) => {
    const data = isJsonObject(relation) ? own(relation, 'data') : null
    return isJsonObject(data) || Array.isArray(data) ? recaseKeys(data, casing) : null
  })
}

/** Every object that relationships name, in their order; what has no id or type is passed over. */
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

/** The id a to-one relationship names, by its snake_case name; null where it names none. */
export function relatedId(relationships: JsonObject, name: string): string | null {
  const data = own(relationships, name)
  return isJsonObject(data) ? readId(own(data, 'id')) : null
}

/** Which table an object's row stands in. */
export type ObjectFamily = 'inquiry' | 'verification' | 'resource'

/** Types whose objects belong to an inquiry, alone or with a sub-type behind a slash. */
const LINKED_TYPES = new Set(['verification', 'report', 'document', 'selfie'])

/** Types whose redaction the provider tells: by an attribute of the object, or by an event of the type's own. */
const REDACTABLE_TYPES = new Set(['inquiry', 'account', 'transaction', 'case'])

/** The family of a JSON:API type such as `verification/selfie`; the provider's list of types is open. */
export function familyOf(type: string | null): ObjectFamily {
  if (type === 'inquiry') return 'inquiry'
  return type === 'verification' || type?.startsWith('verification/') ? 'verification' : 'resource'
}

/** Tells whether objects of a type carry an `inquiry_id`. */
export function carriesInquiryId(type: string | null): boolean {
  if (type === null) return false
  return type === 'inquiry-session' || type === 'session' || LINKED_TYPES.has(type.split('/', 1)[0] as string)
}

/** Tells whether the provider announces redactions of objects of a type. */
export function isRedactable(type: string | null): boolean {
  return type !== null && REDACTABLE_TYPES.has(type)
}

type SnapshotBase = {
  readonly type: string | null
  readonly attributes: JsonObject
  readonly relationships: JsonObject
}
export type InquirySnapshot = SnapshotBase & {
  readonly family: 'inquiry'
  readonly referenceId: string | null
  readonly accountId: string | null
  readonly templateId: string | null
  readonly templateVersionId: string | null
  readonly tags: readonly string[]
  readonly fields: JsonObject
  /** Unix milliseconds by snake_case attribute, for {@link inquiryTimes}. */
  readonly times: Readonly<Record<(typeof inquiryTimes)[number], number | null>>
}
export type VerificationSnapshot = SnapshotBase & {
  readonly family: 'verification'
  readonly countryCode: string | null
  readonly checks: JsonValue
  readonly times: Readonly<Record<(typeof verificationTimes)[number], number | null>>
}
export type ResourceSnapshot = SnapshotBase & { readonly family: 'resource' }

/** The state of one object as one event tells it, in snake_case, split as its table is. */
export type Snapshot = InquirySnapshot | VerificationSnapshot | ResourceSnapshot

export const inquiryTimes = [
  'created_at',
  'updated_at',
  'started_at',
  'completed_at',
  'failed_at',
  'marked_for_review_at',
  'decisioned_at',
  'expired_at',
  'redacted_at',
] as const
export const verificationTimes = ['created_at', 'submitted_at', 'completed_at', 'redacted_at'] as const

/** What an event tells of an object: its snapshot, and apart from it what has a rule of its own. */
export type ObjectReading = {
  readonly id: string
  readonly snapshot: Snapshot
  /** The status that the attributes tell; only a non-empty string does. */
  readonly status: string | null
  /** True where the attributes hold no status at all, so that the event's name may tell it. */
  readonly lacksStatus: boolean
  /** True where the provider says that this object was redacted. */
  readonly isRedacted: boolean
}

function readAttributes(value: JsonValue | undefined, casing: Casing): JsonObject {
  if (!isJsonObject(value)) return {}
  // Keys below `fields` are the customer's own names: whatever their casing, they stay.
  return recaseObject(value, casing, (told, name) => (name === 'fields' ? told : recaseKeys(told, casing)))
}

function readTimes<Name extends string>(columns: AttributeColumns, names: readonly Name[]) {
  const times = {} as Record<Name, number | null>
  for (const name of names) times[name] = columns.time(name)
  return times
}

/** What is known of an object's snapshot before its attributes are read into columns. */
type Told = Pick<SnapshotBase, 'type' | 'relationships'>

function readInquiry(told: Told, columns: AttributeColumns): InquirySnapshot {
  return {
    ...told,
    family: 'inquiry',
    referenceId: columns.text('reference_id'),
    accountId: relatedId(told.relationships, 'account'),
    templateId: relatedId(told.relationships, 'inquiry_template') ?? relatedId(told.relationships, 'template'),
    templateVersionId: relatedId(told.relationships, 'inquiry_template_version'),
    tags: columns.tags(),
    fields: (columns.object('fields', isJsonObject) as JsonObject | null) ?? {},
    times: readTimes(columns, inquiryTimes),
    attributes: columns.rest(),
  }
}

function readVerification(told: Told, columns: AttributeColumns): VerificationSnapshot {
  return {
    ...told,
    family: 'verification',
    countryCode: columns.text('country_code'),
    checks: columns.object('checks', Array.isArray) ?? [],
    times: readTimes(columns, verificationTimes),
    attributes: columns.rest(),
  }
}

/** A type is text: a number or boolean is held as its JSON text, any other kind as null. */
export function readType(value: JsonValue | undefined): string | null {
  if (typeof value === 'string') return value === '' ? null : value
  if (typeof value === 'number' || typeof value === 'boolean' || isLosslessNumber(value)) return leafText(value)
  return null
}

/**
 * A redaction is told by any `redacted-at` but null, be it no readable time or an empty text: what is erased in vain can
 * be had from the provider again, what is kept in vain is a person's.
 */
function tellsRedaction(value: JsonValue | undefined): boolean {
  return value !== undefined && value !== null
}

function readFamily(told: Told, columns: AttributeColumns): Snapshot {
  const family = familyOf(told.type)
  if (family === 'inquiry') return readInquiry(told, columns)
  if (family === 'verification') return readVerification(told, columns)
  return { ...told, family, attributes: columns.rest() }
}

/** Reads one JSON:API object; null for what has no id that a row can be kept under, which is passed over. */
export function readObject(value: JsonValue, casing: Casing): ObjectReading | null {
  if (!isJsonObject(value)) return null
  const id = readId(own(value, 'id'))
  if (id === null) return null
  const attributes = readAttributes(own(value, 'attributes'), casing)
  const toldStatus = own(attributes, 'status') ?? null
  const isRedacted = tellsRedaction(own(attributes, 'redacted_at'))
  const relationships = readRelationships(own(value, 'relationships'), casing)
  const columns = new AttributeColumns(attributes)
  const status = columns.status()
  const snapshot = readFamily({ type: readType(own(value, 'type')), relationships }, columns)
  return { id, snapshot, status, lacksStatus: toldStatus === null, isRedacted }
}

/**
 * The status that an event's name fixes for the object in `payload.data`, where its attributes tell none (a webhook's
 * attribute blocklist can remove `status`). Names and statuses are spelt differently in places.
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

/** The status an event name fixes, or null where it fixes none or is of another family than the object. */
export function statusByEventName(name: string, family: string): string | null {
  return name.startsWith(`${family}.`) ? (STATUS_BY_EVENT_NAME.get(name) ?? null) : null
}
