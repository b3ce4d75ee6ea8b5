import { DecryptionError, type KeyRing, type Place } from '@persona-ingest/core'
import { canonicalText } from '@persona-ingest/persona'

// Decrypting documents is in core, for programs that read without this package.
export { decryptDocument, DecryptionError, idForMessage, type EncryptedTable, type Place } from '@persona-ingest/core'

/** Never encrypted: an erasure leaves it, and it must be recognised without a key. */
const EMPTY = '{}'

/** Rows are compared with projections of the log, whose text may differ. Payloads of the log are not compared. */
const comparable = (text: string, [table]: Place): string => (table === 'events' ? text : canonicalText(text))

/**
 * Encrypts the JSON text of a document into a JSON string `<key id>:<base64>`; without keys it stays. A document is an
 * object, so that a string is always a ciphertext. Equal documents of a row give equal strings, for comparisons without a
 * key.
 */
export function encryptDocument(text: string, place: Place, keys: KeyRing): string {
  if (keys.newestId === null || text === EMPTY) return text
  const encrypted = keys.encryptDeterministically(Buffer.from(comparable(text, place)), place.join(' '))
  return encrypted === null
    ? text
    : JSON.stringify(documentPrefix(encrypted.keyId) + encrypted.bytes.toString('base64'))
}

/** Begins encrypted bytes. No JSON begins with it. */
const MARK_TEXT = '\0sealed\0'
const MARK = Buffer.from(MARK_TEXT)

/** Encrypts the bytes of a body; without keys they stay. */
export function encryptBytes(bytes: Uint8Array, place: Place, keys: KeyRing): Uint8Array {
  const encrypted = keys.encrypt(bytes, place.join(' '))
  return encrypted === null ? bytes : Buffer.concat([bytesPrefix(encrypted.keyId), encrypted.bytes])
}

/** The key of encrypted bytes and the index where the ciphertext begins; null for plain bytes. */
function encryptionOf(bytes: Buffer): { readonly keyId: string; readonly begin: number } | null {
  if (!bytes.subarray(0, MARK.length).equals(MARK)) return null
  const colon = bytes.indexOf(':', MARK.length)
  return colon === -1 ? null : { keyId: bytes.toString('utf8', MARK.length, colon), begin: colon + 1 }
}

/** Reverses {@link encryptBytes}. Throws a {@link DecryptionError}. */
export function decryptBytes(stored: Uint8Array, place: Place, keys: KeyRing): Uint8Array {
  const bytes = Buffer.from(stored.buffer, stored.byteOffset, stored.byteLength)
  const encryption = encryptionOf(bytes)
  if (encryption === null) return stored
  const { keyId, begin } = encryption
  const decrypted = keys.decrypt({ keyId, bytes: bytes.subarray(begin) }, place.join(' '))
  if (decrypted === null) throw new DecryptionError(place, keyId, keys)
  return decrypted
}

/** Beginnings of ciphertexts of a key: of the string of a document, and of the bytes of a body. */
export const documentPrefix = (keyId: string): string => `${keyId}:`
export const bytesPrefix = (keyId: string): Buffer => Buffer.concat([MARK, Buffer.from(documentPrefix(keyId))])

/** SQL: whether bytes are plain, or their key is not the one whose prefix the parameter holds. */
export function areBytesElsewhere(column: string, parameter: string): string {
  return `NOT starts_with(encode(substr(${column}, 1, 512), 'hex'), ${parameter}::text)`
}

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
