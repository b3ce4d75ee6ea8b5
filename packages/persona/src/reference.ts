import { recaseKeys, recaseObject, type Casing } from './casing.ts'
import { isJsonObject, newObject, own, setMember, type JsonObject, type JsonValue } from './json.ts'

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

function bareIdentifier(data: JsonObject): JsonObject {
  const id = readId(own(data, 'id'))
  const type = own(data, 'type')
  // An id without a type names no reference but fills a column (`account_id`): a rebuild must find it again.
  return Object.assign(newObject(), id === null ? {} : { ...(typeof type === 'string' && { type }), id })
}

/**
 * Plain values of a list go. Null in their place would be a value that the list did not have, and a rebuild could not
 * tell a pruned event's list from a list that was changed. Not by recursion, as `copyJson`.
 */
function bareData(data: JsonValue): JsonValue {
  if (!Array.isArray(data)) return isJsonObject(data) ? bareIdentifier(data) : null
  const bare: JsonValue[] = []
  const lists: (readonly [source: readonly JsonValue[], target: JsonValue[]])[] = [[data, bare]]
  for (let list = lists.pop(); list !== undefined; list = lists.pop()) {
    const [source, target] = list
    for (const item of source) {
      if (Array.isArray(item)) lists.push([item, target[target.push([]) - 1] as JsonValue[]])
      else if (isJsonObject(item)) target.push(bareIdentifier(item))
      else if (item === null) target.push(null)
    }
  }
  return bare
}

/** Keeps of each relationship the type and id only: what a skeleton may hold. */
export function bareRelationships(relationships: JsonObject): JsonObject {
  const bare = newObject()
  for (const name of Object.keys(relationships)) setMember(bare, name, bareData(relationships[name] as JsonValue))
  return bare
}
