import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto'

const ALGORITHM = 'aes-256-gcm'
const KEY_BYTES = 32
const NONCE_BYTES = 12
const TAG_BYTES = 16

/** Bytes that only a holder of the key can read. */
export type Sealed = { readonly keyId: string; readonly text: string }

function readKey(entry: string): readonly [id: string, key: Buffer] {
  const [id = '', text = '', ...rest] = entry.split(':')
  const key = Buffer.from(text, 'base64')
  if (id === '' || rest.length > 0 || key.length !== KEY_BYTES) {
    throw new RangeError('Expected keys as <id>:<base64 of 32 bytes>')
  }
  return [id, key]
}

/**
 * The keys that bodies are sealed with in Redis (AES-256-GCM): the first seals, every one opens, so that keys change
 * without a delivery lost. Without keys nothing is sealed.
 */
export class KeyRing {
  readonly #keys: ReadonlyMap<string, Buffer>
  readonly #newest: readonly [id: string, key: Buffer] | undefined

  /** `entries`: `<id>:<base64 of 32 bytes>`. Throws a `RangeError`, without the entry, for anything else. */
  constructor(entries: readonly string[] = []) {
    const keys = entries.map(readKey)
    this.#keys = new Map(keys)
    if (this.#keys.size < keys.length) throw new RangeError('Expected ids of keys that differ, found one twice')
    this.#newest = keys[0]
  }

  /** `boundTo` must be the same when it is opened: a sealed body can't be put into another's place. */
  seal(bytes: Uint8Array, boundTo: string): Sealed | null {
    if (this.#newest === undefined) return null
    const [keyId, key] = this.#newest
    const nonce = randomBytes(NONCE_BYTES)
    const cipher = createCipheriv(ALGORITHM, key, nonce).setAAD(Buffer.from(boundTo))
    const sealed = Buffer.concat([nonce, cipher.update(bytes), cipher.final(), cipher.getAuthTag()])
    return { keyId, text: sealed.toString('base64') }
  }

  /** Null where no key of the ring opens it, or it is not what was sealed. */
  open({ keyId, text }: Sealed, boundTo: string): Buffer | null {
    const key = this.#keys.get(keyId)
    const bytes = Buffer.from(text, 'base64')
    if (key === undefined || bytes.length < NONCE_BYTES + TAG_BYTES) return null
    const decipher = createDecipheriv(ALGORITHM, key, bytes.subarray(0, NONCE_BYTES), { authTagLength: TAG_BYTES })
    decipher.setAAD(Buffer.from(boundTo)).setAuthTag(bytes.subarray(-TAG_BYTES))
    try {
      return Buffer.concat([decipher.update(bytes.subarray(NONCE_BYTES, -TAG_BYTES)), decipher.final()])
    } catch {
      return null
    }
  }
}

export const NO_KEYS = new KeyRing()
