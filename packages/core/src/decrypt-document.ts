import { CodedError } from './errors.ts'
import type { KeyRing } from './key-ring.ts'

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

/** Gives the JSON text of a document from the text of its column. Throws a {@link DecryptionError}. */
export function decryptDocument(text: string, place: Place, keys: KeyRing): string {
  if (!text.startsWith('"')) return text
  const [keyId = '', base64 = ''] = (JSON.parse(text) as string).split(':')
  const decrypted = keys.decrypt({ keyId, bytes: Buffer.from(base64, 'base64') }, place.join(' '))
  if (decrypted === null) throw new DecryptionError(place, keyId, keys)
  return decrypted.toString()
}
