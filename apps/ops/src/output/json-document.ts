import { stringifyExact, type JsonValue } from '@persona-ingest/persona'
import type { Output } from './output.ts'
import { printable } from './text.ts'

/** A JSON object: neither a list, nor a date, nor an exact number, which have classes of their own. */
export type Members = Readonly<Record<string, unknown>>

export function isMembers(value: unknown): value is Members {
  if (typeof value !== 'object' || value === null) return false
  const prototype: unknown = Object.getPrototypeOf(value)
  return prototype === Object.prototype || prototype === null
}

/** The JSON text of a document: dates as ISO 8601 in milliseconds, numbers digit by digit. */
function jsonText(document: unknown): string {
  // The exact writer takes a Date as JSON.stringify does. C0 controls are escaped by JSON itself, the rest by us.
  return printable(stringifyExact(document as JsonValue))
}

/** Prints one JSON document on one line: all that a command with `--json` writes to stdout. */
export function printJson(output: Output, document: unknown): void {
  output.write(`${jsonText(document)}\n`)
}

const MAX_INLINE_CHARACTERS = 100
/** Parts that stand deeper are not split: a path of a thousand keys tells nobody anything. */
const MAX_SPLIT_DEPTH = 20

function membersOf(value: unknown, path: string): readonly (readonly [path: string, member: unknown])[] | null {
  if (Array.isArray(value)) return value.map((item: unknown, index) => [`${path}[${index}]`, item])
  if (!isMembers(value)) return null
  return Object.entries(value).map(([key, member]) => [path === '' ? key : `${path}.${key}`, member])
}

/** A document as pairs of path and JSON text, for people; a part that is short enough stands on one line. */
export function documentLines(
  value: unknown,
  path = '',
  depth = 0,
): readonly (readonly [path: string, text: string])[] {
  const members = depth < MAX_SPLIT_DEPTH ? membersOf(value, path) : null
  if (members === null || members.length === 0) return [[path, jsonText(value)]]
  const text = path === '' ? null : jsonText(value)
  if (text !== null && text.length <= MAX_INLINE_CHARACTERS) return [[path, text]]
  return members.flatMap(([memberPath, member]) => documentLines(member, memberPath, depth + 1))
}
