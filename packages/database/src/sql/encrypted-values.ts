import { CodedError, type KeyRing } from '@persona-ingest/core'
import { canonicalText } from '@persona-ingest/persona'

/** Tables that hold encrypted documents. */
export type EncryptedTable = 'events' | 'inquiries' | 'verifications' | 'resources'

/** Where a document or a body stands: opened anywhere else it is no document. */
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

/** Nothing to hide; what an erasure leaves, so that it is recognised without a key. */
const EMPTY = '{}'

/** Rows are compared with what the log makes of them, whose text may differ; the log's own are compared with nothing else. */
const comparable = (text: string, [table]: Place): string => (table === 'events' ? text : canonicalText(text))

/**
 * The JSON text that a column gets for a document's: the same, or with keys a string `<key id>:<base64>`. A document is an
 * object, so a string is none. In a row, texts of the same value give the same string, so that rows are compared without a
 * key.
 */
export function encryptDocument(text: string, place: Place, keys: KeyRing): string {
  if (keys.newestId === null || text === EMPTY) return text
  const sealed = keys.encryptDeterministically(Buffer.from(comparable(text, place)), place.join(' '))
  return sealed === null ? text : JSON.stringify(documentPrefix(sealed.keyId) + sealed.bytes.toString('base64'))
}

/** The JSON text of a document, from what its column holds as text. Throws {@link DecryptionError}. */
export function decryptDocument(text: string, place: Place, keys: KeyRing): string {
  if (!text.startsWith('"')) return text
  const [keyId = '', base64 = ''] = (JSON.parse(text) as string).split(':')
  const opened = keys.decrypt({ keyId, bytes: Buffer.from(base64, 'base64') }, place.join(' '))
  if (opened === null) throw new DecryptionError(place, keyId, keys)
  return opened.toString()
}

/** Begins the bytes of what is sealed. No JSON begins so, and what is no JSON hardly ever. */
const MARK_TEXT = '\0sealed\0'
const MARK = Buffer.from(MARK_TEXT)

/** The bytes that a column gets for a body's: the same, or with keys sealed ones. */
export function encryptBytes(bytes: Uint8Array, place: Place, keys: KeyRing): Uint8Array {
  const sealed = keys.encrypt(bytes, place.join(' '))
  return sealed === null ? bytes : Buffer.concat([bytesPrefix(sealed.keyId), sealed.bytes])
}

/** The key that bytes are sealed with, and where what is sealed begins; null for bytes that are not. */
function encryptionOf(bytes: Buffer): { readonly keyId: string; readonly begin: number } | null {
  if (!bytes.subarray(0, MARK.length).equals(MARK)) return null
  const colon = bytes.indexOf(':', MARK.length)
  return colon === -1 ? null : { keyId: bytes.toString('utf8', MARK.length, colon), begin: colon + 1 }
}

/** A body as it was before {@link encryptBytes}. Throws {@link DecryptionError}. */
export function decryptBytes(stored: Uint8Array, place: Place, keys: KeyRing): Uint8Array {
  const bytes = Buffer.from(stored.buffer, stored.byteOffset, stored.byteLength)
  const seal = encryptionOf(bytes)
  if (seal === null) return stored
  const opened = keys.decrypt({ keyId: seal.keyId, bytes: bytes.subarray(seal.begin) }, place.join(' '))
  if (opened === null) throw new DecryptionError(place, seal.keyId, keys)
  return opened
}

/** Begins what a key has sealed: the string of a document, the bytes of a body. */
export const documentPrefix = (keyId: string): string => `${keyId}:`
export const bytesPrefix = (keyId: string): Buffer => Buffer.concat([MARK, Buffer.from(documentPrefix(keyId))])

/** SQL: whether bytes are plain, or encrypted with another key than the one whose prefix the parameter holds. */
export function areBytesElsewhere(column: string, parameter: string): string {
  return `NOT starts_with(encode(substr(${column}, 1, 512), 'hex'), ${parameter}::text)`
}
