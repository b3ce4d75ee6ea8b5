import { LosslessNumber, parse } from 'lossless-json'
import type { JsonValue } from '@persona-ingest/persona'

function exactNumber(text: string): number | LosslessNumber {
  const value = Number(text)
  return String(value) === text ? value : new LosslessNumber(text)
}

/** Parses the JSON text of a stored document so that every number keeps its digits; pg's own parser would round them. */
export function exactDocument(text: string): JsonValue {
  return parse(text, null, { parseNumber: exactNumber, onDuplicateKey: ({ newValue }) => newValue }) as JsonValue
}
