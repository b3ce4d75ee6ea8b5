import type { KeyRing } from '@persona-ingest/core'
import { encryptBytes, encryptDocument, type Place } from './encrypted-values.ts'

/** A JSON document as text, which goes unchanged into the text that `jsonb_to_recordset` reads. */
export class RawJson {
  readonly text: string
  constructor(text: string) {
    this.text = text
  }
}
/** A document that is encrypted where there are keys. */
export class PersonalJson extends RawJson {
  readonly place: Place
  constructor(text: string, place: Place) {
    super(text)
    this.place = place
  }
}
/** A body that is encrypted where there are keys. */
export class PersonalBytes {
  readonly bytes: Uint8Array
  readonly place: Place
  constructor(bytes: Uint8Array, place: Place) {
    this.bytes = bytes
    this.place = place
  }
}
export type RowValue = string | number | null | readonly string[] | RawJson | PersonalBytes
export type Row = Readonly<Record<string, RowValue>>

let lastTime = { milliseconds: 0, text: new Date(0).toISOString() }

/** A row holds the same clock up to four times, so the last text is kept. */
export function isoTime(milliseconds: number): string {
  if (lastTime.milliseconds !== milliseconds) lastTime = { milliseconds, text: new Date(milliseconds).toISOString() }
  return lastTime.text
}

function encodeValue(value: Exclude<RowValue, null>, keys: KeyRing): string {
  if (typeof value === 'number') return String(value)
  if (value instanceof PersonalBytes) {
    const stored = Buffer.from(encryptBytes(value.bytes, value.place, keys))
    return `"\\\\x${stored.toString('hex')}"`
  }
  if (value instanceof PersonalJson) return encryptDocument(value.text, value.place, keys)
  return value instanceof RawJson ? value.text : JSON.stringify(value)
}

function encodeRow(row: Row, keys: KeyRing): string {
  let members = ''
  for (const name of Object.keys(row)) {
    const value = row[name]
    // PostgreSQL reads a missing member as null.
    if (value === null || value === undefined) continue
    members += members === '' ? `"${name}":` : `,"${name}":`
    members += encodeValue(value, keys)
  }
  return `{${members}}`
}

/** Encodes rows as one JSON text, a single parameter. Personal documents are encrypted, and none is escaped twice. */
export function encodeRows(rows: readonly Row[], keys: KeyRing): string {
  return `[${rows.map((row) => encodeRow(row, keys)).join(',')}]`
}
