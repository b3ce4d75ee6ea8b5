import { isLosslessNumber } from 'lossless-json'
import { newObject, setMember, type JsonObject, type JsonValue } from './json.ts'

/** The key inflection that a webhook was set to. It changes keys only; values stay as they are. */
export type Casing = 'kebab' | 'camel' | 'snake'

/** Keys recur in nearly every event; the bound keeps customer-made keys from filling the memory. */
const MAX_CACHED_KEYS = 10_000
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
  if (snakeKeys[casing].size < MAX_CACHED_KEYS) snakeKeys[casing].set(key, snake)
  return snake
}

/**
 * Several keys of one object can become the same name. Which one counts must not hang on their order, since jsonb
 * keeps none: the greatest does.
 */
export function losesCollision(object: JsonObject, key: string, name: string, casing: Casing): boolean {
  return Object.keys(object).some((other) => other > key && snakeCase(other, casing) === name)
}

/** Copies an object with its keys in snake_case and each value as `copyValue` gives it. */
export function recaseObject(
  object: JsonObject,
  casing: Casing,
  copyValue: (value: JsonValue, name: string) => JsonValue,
): JsonObject {
  const recased = newObject()
  for (const key of Object.keys(object)) {
    const name = snakeCase(key, casing)
    if (Object.hasOwn(recased, name) && losesCollision(object, key, name, casing)) continue
    setMember(recased, name, copyValue(object[key] as JsonValue, name))
  }
  return recased
}

/**
 * Copies a JSON value with every key at every depth in snake_case.
 * Throws a RangeError on nesting beyond the stack, which the caller answers as the event's own fault.
 */
export function recaseKeys(value: JsonValue, casing: Casing): JsonValue {
  if (value === null || typeof value !== 'object' || isLosslessNumber(value)) return value
  if (Array.isArray(value)) return value.map((item) => recaseKeys(item, casing))
  return recaseObject(value, casing, (item) => recaseKeys(item, casing))
}
