/** A JSON value. Keys are in kebab-case until {@link recase} changes a whole document. */
export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json }
export type JsonObject = { readonly [key: string]: Json }

/** A JSON:API object of an event. */
export type Resource = {
  readonly type: string
  readonly id: string
  readonly attributes: JsonObject
  readonly relationships: JsonObject
}

/** `Array.isArray` for read-only lists. */
function isList(value: Json): value is readonly Json[] {
  return Array.isArray(value)
}

/** Returns a to-one relationship. */
export function toOne(resource: { readonly type: string; readonly id: string } | null): JsonObject {
  return { data: resource === null ? null : { type: resource.type, id: resource.id } }
}

/** Returns a to-many relationship. */
export function toMany(resources: readonly { readonly type: string; readonly id: string }[]): JsonObject {
  return { data: resources.map(({ type, id }) => ({ type, id })) }
}

/** Returns a time in whole seconds, as attributes of objects have it. */
export function wholeSecond(atMs: number): string {
  return new Date(Math.floor(atMs / 1000) * 1000).toISOString()
}

/** Lists the key inflections that a webhook can be configured with. */
export const casings = ['kebab', 'camel', 'snake'] as const
export type Casing = (typeof casings)[number]

function recasedKey(key: string, casing: Casing): string {
  if (casing === 'snake') return key.replaceAll('-', '_')
  return key.replaceAll(/-([a-z0-9])/g, (_match, first: string) => first.toUpperCase())
}

/**
 * Returns a document with kebab keys in another casing. As at the provider, values stay, and so does everything below
 * `fields`, where customers name the keys.
 */
export function recase(value: Json, casing: Casing): Json {
  if (casing === 'kebab' || value === null || typeof value !== 'object') return value
  if (isList(value)) return value.map((item) => recase(item, casing))
  const entries = Object.entries(value).map(([key, item]): [string, Json] =>
    key === 'fields' ? [key, item] : [recasedKey(key, casing), recase(item, casing)],
  )
  return Object.fromEntries(entries)
}
