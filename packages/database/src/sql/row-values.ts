import { CodedError, type KeyRing } from '@persona-ingest/core'
import { canonicalText } from '@persona-ingest/persona'

/** Tables that hold encrypted documents. */
export type EncryptedTable = 'events' | 'inquiries' | 'verifications' | 'resources'

/** The place of a document or a body; in any other place it does not decrypt. */
export type Place = readonly [table: EncryptedTable | 'dead_letters', id: string, column: string]

const KEY_ID = /^[\w.-]{1,64}$/

/** An id that a message may hold. The provider's ids have this form, but an object's id may be any text. */
const PLAIN_ID = /^[\w-]{1,255}$/
export const idForMessage = (id: string): string => (PLAIN_ID.test(id) ? id : 'a row')

/**
 * Reports a stored value that can't be decrypted: its key is missing, or the value was changed by hand. Code:
 * `DECRYPTION_FAILED`. The message holds the place of the value and no content.
 */
export class DecryptionError extends CodedError<'DECRYPTION_FAILED'> {
  override readonly name = 'DecryptionError'
  readonly isChanged: boolean
  readonly keyId: string

  constructor([table, id, column]: Place, storedKeyId: string, keys: KeyRing) {
    const isChanged = keys.has(storedKeyId)
    // A value that was changed by hand may hold any text in the place of the key's id.
    const keyId = KEY_ID.test(storedKeyId) ? storedKeyId : 'unreadable'
    const reason = isChanged ? 'but is not what that key has sealed there' : 'which is not here'
    const place = `${column} of ${idForMessage(id)} in ${table}`
    super('DECRYPTION_FAILED', `${place} is sealed with the key "${keyId}", ${reason}`)
    this.isChanged = isChanged
    this.keyId = keyId
  }
}

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

/** Gives the JSON text of a document from the text of its column. Throws a {@link DecryptionError}. */
export function decryptDocument(text: string, place: Place, keys: KeyRing): string {
  if (!text.startsWith('"')) return text
  const [keyId = '', base64 = ''] = (JSON.parse(text) as string).split(':')
  const decrypted = keys.decrypt({ keyId, bytes: Buffer.from(base64, 'base64') }, place.join(' '))
  if (decrypted === null) throw new DecryptionError(place, keyId, keys)
  return decrypted.toString()
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
