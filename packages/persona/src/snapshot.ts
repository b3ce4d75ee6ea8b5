import { isLosslessNumber } from 'lossless-json'
import { AttributeColumns, leafText } from './attribute-columns.ts'
import { recaseKeys, recaseObject, type Casing } from './casing.ts'
import { isJsonObject, own, type JsonObject, type JsonValue } from './json.ts'
import { familyOf } from './object-family.ts'
import { bareRelationships, readId, readRelationships, relatedId } from './reference.ts'

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

/** A snapshot's skeleton: all that erasure leaves of it. */
export function skeletonOf(snapshot: Snapshot): Snapshot {
  const bare = { attributes: {}, relationships: bareRelationships(snapshot.relationships) }
  if (snapshot.family === 'inquiry') return { ...snapshot, ...bare, referenceId: null, tags: [], fields: {} }
  if (snapshot.family === 'verification') return { ...snapshot, ...bare, countryCode: null, checks: [] }
  return { ...snapshot, ...bare }
}
