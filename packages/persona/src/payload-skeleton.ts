import { isLosslessNumber } from 'lossless-json'
import { countingKeys, snakeCase, type Casing } from './casing.ts'
import { createdAtKeys } from './envelope.ts'
import { isJsonObject, own, type JsonObject, type JsonValue } from './json.ts'
import { familyOf, type ObjectFamily } from './object-family.ts'
import { bareRelationships, readId, readRelationships } from './reference.ts'
import { inquiryTimes, readType, verificationTimes } from './snapshot.ts'
import { parseTimestamp } from './timestamp.ts'

/**
 * The attributes that may stay, beside the status: an allowlist, so that unknown ones go. They are the times that a row
 * has columns for: any other would be one of its `attributes` again when the stored payload is read anew.
 */
const SKELETON_TIMES: Readonly<Record<ObjectFamily, ReadonlySet<string>>> = {
  inquiry: new Set(inquiryTimes),
  verification: new Set(verificationTimes),
  resource: new Set(),
}

/** `redacted`: nothing that was redacted is left. `pruned`: what tells a redaction goes on telling it. */
export type SkeletonKind = 'redacted' | 'pruned'

type Reduction = {
  readonly casing: Casing
  readonly kind: SkeletonKind
  readonly isReduced: (objectId: string | null) => boolean
}

function skeletonAttribute(
  family: ObjectFamily,
  name: string,
  value: JsonValue,
  kind: SkeletonKind,
): string | undefined {
  if (name === 'status' && value !== null) {
    // A status of a wrong kind tells none, and must go on hiding the one that the event's name would tell.
    return typeof value === 'string' ? value : ''
  }
  const isTime = typeof value === 'string' && parseTimestamp(value) !== null
  // Whatever is not null redacts, and what is no time may say anything.
  if (kind === 'pruned' && name === 'redacted_at' && value !== null) return isTime ? value : ''
  return isTime && SKELETON_TIMES[family].has(name) ? value : undefined
}

function skeletonAttributes(
  family: ObjectFamily,
  value: JsonValue | undefined,
  { casing, kind }: Reduction,
): JsonObject {
  if (!isJsonObject(value)) return {}
  const skeleton: JsonObject = {}
  const counting = countingKeys(value, casing)
  for (const [key, member] of Object.entries(value)) {
    const name = snakeCase(key, casing)
    const kept = skeletonAttribute(family, name, member, kind)
    // Where two keys become one name, the one that did not count must not come to count when the other goes.
    if (kept !== undefined && counting.get(name) === key) skeleton[key] = kept
  }
  return skeleton
}

function pick(object: JsonObject, isKept: (key: string, value: JsonValue) => boolean): JsonObject {
  return Object.fromEntries(Object.entries(object).filter(([key, value]) => isKept(key, value)))
}

function isIdentity(key: string, value: JsonValue): boolean {
  return (key === 'type' || key === 'id') && (isLosslessNumber(value) || (value !== null && typeof value !== 'object'))
}

function skeletonRelationships(value: JsonValue | undefined, casing: Casing): JsonObject {
  if (!isJsonObject(value)) return {}
  const skeleton: JsonObject = Object.create(null)
  for (const name of Object.keys(value)) {
    const read = readRelationships({ relation: value[name] as JsonValue }, casing)
    skeleton[name] = { data: bareRelationships(read)['relation'] as JsonValue }
  }
  return skeleton
}

function reduceObject(value: JsonValue, reduction: Reduction): JsonValue {
  if (!isJsonObject(value)) return null
  const family = familyOf(readType(own(value, 'type')))
  return {
    ...pick(value, isIdentity),
    attributes: skeletonAttributes(family, own(value, 'attributes'), reduction),
    relationships: skeletonRelationships(own(value, 'relationships'), reduction.casing),
  }
}

function reduceCopy(value: JsonValue, reduction: Reduction): JsonValue {
  const id = isJsonObject(value) ? readId(own(value, 'id')) : null
  return reduction.isReduced(id) ? reduceObject(value, reduction) : value
}

/**
 * Reduces the copies of objects in a stored payload, in the payload's own casing. Where the object in `payload.data`
 * goes, so does all of the envelope but the event's id, type, name and time.
 */
export function reducePayload(document: JsonValue, reduction: Reduction): JsonValue {
  const { casing, isReduced } = reduction
  const envelope = own(document as JsonObject, 'data') as JsonObject
  const attributes = own(envelope, 'attributes') as JsonObject
  const payload = own(attributes, 'payload') as JsonObject
  const primary = own(payload, 'data') as JsonObject
  const included = own(payload, 'included')
  const reducedPayload: JsonObject = { data: reduceCopy(primary, reduction) }
  if (Array.isArray(included)) reducedPayload['included'] = included.map((copy) => reduceCopy(copy, reduction))
  if (!isReduced(readId(own(primary, 'id')))) {
    const whole = { ...attributes, payload: { ...payload, ...reducedPayload } }
    return { ...(document as JsonObject), data: { ...envelope, attributes: whole } }
  }
  return {
    data: {
      ...pick(envelope, isIdentity),
      attributes: {
        ...pick(attributes, (key) => key === 'name' || key === createdAtKeys[casing]),
        payload: reducedPayload,
      },
    },
  }
}
