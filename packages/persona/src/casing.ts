import { copyJson, isLeaf, newObject, setMember, type JsonObject, type JsonValue } from './json.ts'

/** The key inflection that a webhook was set to. It changes keys only; values stay as they are. */
export type Casing = 'kebab' | 'camel' | 'snake'

/** Keys recur in nearly every event; the bound keeps customer-made keys from filling the memory. */
const MAX_CACHED_KEYS = 10_000
const MAX_CACHED_CHARACTERS = 100
const snakeKeys = { camel: new Map<string, string>(), kebab: new Map<string, string>() }

function snakeFromCamel(key: string): string {
  return key
    .replaceAll('-', '_')
    .replace(/([\p{Ll}\p{Lo}\p{N}])(\p{Lu})/gu, '$1_$2') // a capital begins a new word
    .replace(/(\p{Lu})(\p{Lu}\p{Ll})/gu, '$1_$2') // a run of capitals is one word: URLPath -> url_path
    .replace(/(\p{L})(\p{N})/gu, '$1_$2') // so does a digit after a letter
    .toLowerCase()
}

/** Turns a key into snake_case: `name-first`, `nameFirst` and `name_first` all become `name_first`. */
export function snakeCase(key: string, casing: Casing): string {
  if (casing === 'snake') return key.includes('-') ? key.replaceAll('-', '_') : key
  const known = snakeKeys[casing].get(key)
  if (known !== undefined) return known
  const snake = casing === 'camel' ? snakeFromCamel(key) : key.replaceAll('-', '_')
  if (key.length <= MAX_CACHED_CHARACTERS && snakeKeys[casing].size < MAX_CACHED_KEYS) snakeKeys[casing].set(key, snake)
  return snake
}

/**
 * Which key of an object counts for each name. Several keys can become the same name, and jsonb keeps no order of keys:
 * the greatest counts. One pass: an object may hold thousands of keys that become one name.
 */
export function countingKeys(object: JsonObject, casing: Casing): ReadonlyMap<string, string> {
  const counting = new Map<string, string>()
  for (const key of Object.keys(object)) {
    const name = snakeCase(key, casing)
    const known = counting.get(name)
    if (known === undefined || key > known) counting.set(name, key)
  }
  return counting
}

type CopyMember = (value: JsonValue, name: string) => JsonValue

function fillRecased(source: JsonObject, target: JsonObject, casing: Casing, copyMember: CopyMember): void {
  // Hardly any object has two keys of one name.
  let counting: ReadonlyMap<string, string> | null = null
  for (const key of Object.keys(source)) {
    const name = snakeCase(key, casing)
    if (Object.hasOwn(target, name)) {
      counting ??= countingKeys(source, casing)
      if (counting.get(name) !== key) continue
    }
    setMember(target, name, copyMember(source[key] as JsonValue, name))
  }
}

/** Copies an object with its keys in snake_case and each value as `copyMember` gives it. */
export function recaseObject(object: JsonObject, casing: Casing, copyMember: CopyMember): JsonObject {
  const recased = newObject()
  fillRecased(object, recased, casing, copyMember)
  return recased
}

/** Far below any stack, and beyond any event of the provider. */
const MAX_RECURSION = 100

/**
 * Copies a JSON value with every key at every depth in snake_case. By recursion, which is twice as fast as {@link copyJson}
 * and part of every event's way, as far as it is safe.
 */
export function recaseKeys(value: JsonValue, casing: Casing, depth = 0): JsonValue {
  if (isLeaf(value)) return value
  if (depth < MAX_RECURSION) {
    if (Array.isArray(value)) return value.map((item) => recaseKeys(item, casing, depth + 1))
    return recaseObject(value, casing, (item) => recaseKeys(item, casing, depth + 1))
  }
  return copyJson(value, casing, {
    leaf: (leaf) => leaf,
    fill: (source, target, copy) => fillRecased(source, target, casing, (member) => copy(member, casing)),
  })
}
