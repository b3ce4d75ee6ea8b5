import { createCipheriv, createDecipheriv, createHmac, hkdfSync, randomBytes } from 'node:crypto'

const ALGORITHM = 'aes-256-gcm'
const KEY_BYTES = 32
const NONCE_BYTES = 12
const TAG_BYTES = 16

/** Encrypted bytes and the id of their key. */
export type Encrypted = { readonly keyId: string; readonly bytes: Buffer }

/** A keyed digest. `keyId` names the key of the ring; it is null for the fallback key. */
export type KeyedDigest = { readonly keyId: string | null; readonly bytes: Buffer }

type Key = { readonly id: string; readonly cipher: Buffer; readonly nonces: Buffer }

/** HMAC-SHA256 under a key that is derived for the purpose, so that digests for two purposes can't be compared. */
function digestUnder(key: Uint8Array, purpose: string, bytes: Uint8Array): Buffer {
  if (key.byteLength < KEY_BYTES) throw new RangeError('Expected a key of at least 32 bytes for a digest')
  const purposeKey = Buffer.from(hkdfSync('sha256', key, '', `digests ${purpose}`, KEY_BYTES))
  return createHmac('sha256', purposeKey).update(bytes).digest()
}

function readKey(entry: string): Key {
  const [id = '', text = '', ...rest] = entry.split(':')
  const cipher = Buffer.from(text, 'base64')
  if (id === '' || rest.length > 0 || cipher.length !== KEY_BYTES) {
    throw new RangeError('Expected keys as <id>:<base64 of 32 bytes>')
  }
  // Nonces get a key of their own.
  return { id, cipher, nonces: Buffer.from(hkdfSync('sha256', cipher, '', 'nonces', KEY_BYTES)) }
}

/**
 * The keys of personal data at rest (AES-256-GCM). The first key encrypts and every key decrypts, so that keys can be
 * rotated at run time. Without keys nothing is encrypted.
 */
export class KeyRing {
  readonly #keys: ReadonlyMap<string, Key>
  readonly #newest: Key | undefined

  /** `entries`: `<id>:<base64 of 32 bytes>`. Throws a `RangeError`, without the entry, for anything else. */
  constructor(entries: readonly string[]) {
    const keys = entries.map(readKey)
    this.#keys = new Map(keys.map((key) => [key.id, key]))
    if (this.#keys.size < keys.length) throw new RangeError('Expected ids of keys that differ, found one twice')
    this.#newest = keys[0]
  }

  /** The id of the key that encrypts; null without keys. */
  get newestId(): string | null {
    return this.#newest?.id ?? null
  }

  has(keyId: string): boolean {
    return this.#keys.has(keyId)
  }

  /**
   * Encrypts with the newest key; null without keys. Only the same `boundTo` decrypts, so that a ciphertext is of no use in
   * another place.
   */
  encrypt(bytes: Uint8Array, boundTo: string): Encrypted | null {
    return this.#encrypt(bytes, boundTo, () => randomBytes(NONCE_BYTES))
  }

  /**
   * Gives the same ciphertext for the same bytes, place and key, so that a database can compare values without a key. The
   * nonce is a keyed hash of place and bytes: different bytes share one only by chance.
   */
  encryptDeterministically(bytes: Uint8Array, boundTo: string): Encrypted | null {
    const ofBytes = ({ nonces }: Key) =>
      createHmac('sha256', nonces).update(boundTo).update('\0').update(bytes).digest().subarray(0, NONCE_BYTES)
    return this.#encrypt(bytes, boundTo, ofBytes)
  }

  /** Null where the key is not in the ring, or the bytes or their place were changed. */
  decrypt({ keyId, bytes }: Encrypted, boundTo: string): Buffer | null {
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

  /**
   * Gives the digest (32 bytes) under the newest key, for bytes that a reader of the database must not guess.
   *
   * `fallbackKey`: a random key of the installation, of at least 32 bytes, for an empty ring. Throws a `RangeError` without
   * any key, since an unkeyed digest reveals the rest of a body that is mostly known.
   */
  digest(purpose: string, bytes: Uint8Array, fallbackKey: Uint8Array | null): KeyedDigest {
    const newest = this.#newest
    if (newest !== undefined) return { keyId: newest.id, bytes: digestUnder(newest.cipher, purpose, bytes) }
    if (fallbackKey === null) throw new RangeError('Expected an encryption key or a fallback key for a digest')
    return { keyId: null, bytes: digestUnder(fallbackKey, purpose, bytes) }
  }

  /**
   * Gives the digests under every key, the newest first, and then under the fallback key where one is given. Look-ups need
   * all of them while keys are rotated, and after the first key was set. Empty without any key.
   */
  digests(purpose: string, bytes: Uint8Array, fallbackKey: Uint8Array | null): readonly KeyedDigest[] {
    const keys: { id: string | null; cipher: Uint8Array }[] = [...this.#keys.values()]
    if (fallbackKey !== null) keys.push({ id: null, cipher: fallbackKey })
    return keys.map(({ id, cipher }) => ({ keyId: id, bytes: digestUnder(cipher, purpose, bytes) }))
  }

  #encrypt(bytes: Uint8Array, boundTo: string, nonceOf: (key: Key) => Buffer): Encrypted | null {
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

export const NO_KEYS = new KeyRing([])
