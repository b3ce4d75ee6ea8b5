/** What JSON can hold; keys in kebab-case until the whole document gets its casing. */
export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json }
export type JsonObject = { readonly [key: string]: Json }

/** A JSON:API object as it stands in an event. */
export type Resource = {
  readonly type: string
  readonly id: string
  readonly attributes: JsonObject
  readonly relationships: JsonObject
}

/** `Array.isArray` for read-only lists. */
export function isList(value: Json): value is readonly Json[] {
  return Array.isArray(value)
}

/** A to-one relationship. */
export function toOne(resource: { readonly type: string; readonly id: string } | null): JsonObject {
  return { data: resource === null ? null : { type: resource.type, id: resource.id } }
}

/** A to-many relationship. */
export function toMany(resources: readonly { readonly type: string; readonly id: string }[]): JsonObject {
  return { data: resources.map(({ type, id }) => ({ type, id })) }
}

/** A time as an object's attributes hold it: in whole seconds. */
export function wholeSecond(atMs: number): string {
  return new Date(Math.floor(atMs / 1000) * 1000).toISOString()
}
