import { createCipheriv, createDecipheriv, createHmac, hkdfSync, randomBytes } from 'node:crypto'

const ALGORITHM = 'aes-256-gcm'
const KEY_BYTES = 32
const NONCE_BYTES = 12
const TAG_BYTES = 16

/** Bytes that only a holder of the key can read. */
export type Sealed = { readonly keyId: string; readonly bytes: Buffer }

type Key = { readonly id: string; readonly cipher: Buffer; readonly nonces: Buffer }

function readKey(entry: string): Key {
  const [id = '', text = '', ...rest] = entry.split(':')
  const cipher = Buffer.from(text, 'base64')
  if (id === '' || rest.length > 0 || cipher.length !== KEY_BYTES) {
    throw new RangeError('Expected keys as <id>:<base64 of 32 bytes>')
  }
  // A key of its own for each use.
  return { id, cipher, nonces: Buffer.from(hkdfSync('sha256', cipher, '', 'nonces', KEY_BYTES)) }
}

/**
 * The keys that personal data is sealed with at rest (AES-256-GCM): the first seals, every one opens, so that keys change
 * while everything runs. Without keys nothing is sealed.
 */
export class KeyRing {
  readonly #keys: ReadonlyMap<string, Key>
  readonly #newest: Key | undefined

  /** `entries`: `<id>:<base64 of 32 bytes>`. Throws a `RangeError`, without the entry, for anything else. */
  constructor(entries: readonly string[] = []) {
    const keys = entries.map(readKey)
    this.#keys = new Map(keys.map((key) => [key.id, key]))
    if (this.#keys.size < keys.length) throw new RangeError('Expected ids of keys that differ, found one twice')
    this.#newest = keys[0]
  }

  /** The id of the key that seals; null without keys. */
  get newestId(): string | null {
    return this.#newest?.id ?? null
  }

  has(keyId: string): boolean {
    return this.#keys.has(keyId)
  }

  /** `boundTo` must be the same when it is opened: what is sealed can't be put into another's place. */
  seal(bytes: Uint8Array, boundTo: string): Sealed | null {
    return this.#seal(bytes, boundTo, () => randomBytes(NONCE_BYTES))
  }

  /**
   * Seals so that the same bytes in the same place under the same key give the same again: what a database compares
   * without a key. The nonce is a keyed hash of place and bytes, so two texts never share one but by chance.
   */
  sealComparably(bytes: Uint8Array, boundTo: string): Sealed | null {
    const ofBytes = ({ nonces }: Key) =>
      createHmac('sha256', nonces).update(boundTo).update('\0').update(bytes).digest().subarray(0, NONCE_BYTES)
    return this.#seal(bytes, boundTo, ofBytes)
  }

  /** Null where no key of the ring opens it, or it is not what was sealed. */
  open({ keyId, bytes }: Sealed, boundTo: string): Buffer | null {
    const key = this.#keys.get(keyId)
    if (key === undefined || bytes.length < NONCE_BYTES + TAG_BYTES) return null
    const nonce = bytes.subarray(0, NONCE_BYTES)
    const decipher = createDecipheriv(ALGORITHM, key.cipher, nonce, { authTagLength: TAG_BYTES })
    decipher.setAAD(Buffer.from(boundTo)).setAuthTag(bytes.subarray(-TAG_BYTES))
    try {
      return Buffer.concat([decipher.update(bytes.subarray(NONCE_BYTES, -TAG_BYTES)), decipher.final()])
    } catch {
      return null
    }
  }

  #seal(bytes: Uint8Array, boundTo: string, nonceOf: (key: Key) => Buffer): Sealed | null {
    const key = this.#newest
    if (key === undefined) return null
    const nonce = nonceOf(key)
    const cipher = createCipheriv(ALGORITHM, key.cipher, nonce).setAAD(Buffer.from(boundTo))
    return {
      keyId: key.id,
      bytes: Buffer.concat([nonce, cipher.update(bytes), cipher.final(), cipher.getAuthTag()]),
    }
  }
}

export const NO_KEYS = new KeyRing()
