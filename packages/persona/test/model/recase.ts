import type { Casing } from '../../src/attributes.ts'
import type { Json, JsonMap } from './event-document.ts'

function recaseKey(key: string, casing: Casing): string {
  if (casing === 'kebab') return key
  if (casing === 'snake') return key.replaceAll('-', '_')
  return key.replace(/-(.)/g, (_, first: string) => first.toUpperCase())
}

function recaseTree(value: Json, casing: Casing): Json {
  if (value === null || typeof value !== 'object') return value
  if (Array.isArray(value)) return value.map((item: Json) => recaseTree(item, casing))
  const members = Object.entries(value as JsonMap).map(([key, member]): [string, Json] => [
    recaseKey(key, casing),
    key === 'fields' ? member : recaseTree(member, casing),
  ])
  return Object.fromEntries(members)
}

/** A kebab-case document as a webhook set to another casing sends it: keys only, those below `fields` left alone. */
export function recased(document: Json, casing: Casing): Json {
  return recaseTree(document, casing)
}
