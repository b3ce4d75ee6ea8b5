import { isList, type Json } from './json-api.ts'

/** The key inflections that a webhook can be set to; every one of them. */
export const casings = ['kebab', 'camel', 'snake'] as const
export type Casing = (typeof casings)[number]

function recasedKey(key: string, casing: Casing): string {
  if (casing === 'snake') return key.replaceAll('-', '_')
  return key.replaceAll(/-([a-z0-9])/g, (_match, first: string) => first.toUpperCase())
}

/**
 * Gives a document with kebab keys another casing.
 *
 * Values stay as they are, and so do the names of the customer's own fields (keys directly below `fields`): the
 * provider re-cases neither. What lies below one field keeps its casing too.
 */
export function recase(value: Json, casing: Casing): Json {
  if (casing === 'kebab' || value === null || typeof value !== 'object') return value
  if (isList(value)) return value.map((item) => recase(item, casing))
  const entries = Object.entries(value).map(([key, item]): [string, Json] =>
    key === 'fields' ? [key, item] : [recasedKey(key, casing), recase(item, casing)],
  )
  return Object.fromEntries(entries)
}
