import { isLosslessNumber, type LosslessNumber } from 'lossless-json'

export type JsonObject = { [key: string]: JsonValue }
/** A parsed JSON value; a number that JavaScript would round or reword is a `LosslessNumber`. */
export type JsonValue = null | boolean | number | string | LosslessNumber | JsonValue[] | JsonObject

/** An object that members are added to one by one; {@link setMember} keeps a key such as `__proto__` a key. */
export function newObject(): JsonObject {
  return {}
}

/** Adds a member of any name. Plain objects are several times as fast to fill and to write as those without prototype. */
export function setMember(object: JsonObject, name: string, value: JsonValue): void {
  if (name !== '__proto__') object[name] = value
  else Object.defineProperty(object, name, { value, enumerable: true, configurable: true, writable: true })
}

/** True for an object (not an array, not a number, not null). */
export function isJsonObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !isLosslessNumber(value)
}

/** The own value of a key; undefined where the object lacks it (inherited names such as `constructor` are no keys). */
export function own(object: JsonObject, key: string): JsonValue | undefined {
  return Object.hasOwn(object, key) ? object[key] : undefined
}

/** True for what has no members: text, number, boolean, null. */
export function isLeaf(value: JsonValue): value is Exclude<JsonValue, JsonObject | JsonValue[]> {
  return value === null || typeof value !== 'object' || isLosslessNumber(value)
}

/** How a document is copied. `Context` is handed down from an object to its members. */
export type CopyRules<Context> = {
  readonly leaf: (value: JsonValue) => JsonValue
  /** Sets the members of an object's copy; `copy` gives the copy of a member. */
  readonly fill: (
    source: JsonObject,
    target: JsonObject,
    copy: (value: JsonValue, context: Context) => JsonValue,
    context: Context,
  ) => void
}

/**
 * Copies a value, container by container. Not by recursion: the log may hold documents that an older version stored, and
 * that are nested more deeply than the stack is high.
 */
export function copyJson<Context>(value: JsonValue, context: Context, { leaf, fill }: CopyRules<Context>): JsonValue {
  const sources: (JsonObject | JsonValue[])[] = []
  const targets: (JsonObject | JsonValue[])[] = []
  const contexts: Context[] = []
  const copy = (member: JsonValue, memberContext: Context): JsonValue => {
    if (isLeaf(member)) return leaf(member)
    const target = Array.isArray(member) ? [] : newObject()
    sources.push(member)
    targets.push(target)
    contexts.push(memberContext)
    return target
  }
  const copied = copy(value, context)
  for (let source = sources.pop(); source !== undefined; source = sources.pop()) {
    const target = targets.pop() as JsonObject | JsonValue[]
    const own = contexts.pop() as Context
    if (Array.isArray(source)) for (const item of source) (target as JsonValue[]).push(copy(item, own))
    else fill(source, target as JsonObject, copy, own)
  }
  return copied
}

/** The most levels of objects and lists that a delivery may have, its document counted. @see docs/contract.md#2-http-the-ingress */
export const MAX_NESTING = 1_000

/** Tells whether a document is nested more deeply than an event may be. Looks no deeper than that. */
export function isNestedTooDeeply(value: JsonValue, levels = MAX_NESTING): boolean {
  if (value === null || typeof value !== 'object') return false
  if (levels === 0) return !isLosslessNumber(value)
  if (Array.isArray(value)) {
    for (const item of value) if (isNestedTooDeeply(item, levels - 1)) return true
    return false
  }
  const members = value as JsonObject
  for (const key in members) if (isNestedTooDeeply(members[key] as JsonValue, levels - 1)) return true
  return false
}
