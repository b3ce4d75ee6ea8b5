import { KeyRing, NO_KEYS } from '@persona-ingest/core'
import t from 'tap'
import { randomBytes } from 'node:crypto'
import {
  bodyParameters,
  isAsReceived,
  placeOfBody,
  plainDigest,
  possibleDigests,
} from '../../src/dead-letters/stored-body.ts'
import { decryptBytes } from '../../src/sql/row-values.ts'
import { aKey } from '../fixtures/some-keys.ts'

const BODY = Buffer.from('{"id": "inq_1", "name": "MARK"')
const DIGEST_KEY = randomBytes(32)
const [a, b] = [aKey('a'), aKey('b')]
const [withA, withBoth] = [new KeyRing([a]), new KeyRing([b, a])]

/** The values of a body's columns, by name. */
function stored(keys: KeyRing, digestKey: Uint8Array | null, bytes: Uint8Array = BODY) {
  const [body, name, digest, keyId] = bodyParameters(bytes, keys, digestKey) as [Buffer, Buffer, Buffer | null, string | null] // prettier-ignore
  return { body, name, digest, keyId, row: { body, body_sha256: name, digest_of: name, body_digest: digest } }
}

t.test('a body is stored as it is without keys, and encrypted for its name with them', async (t) => {
  t.ok(stored(NO_KEYS, DIGEST_KEY).body.equals(BODY))
  const { body, name, digest } = stored(withA, DIGEST_KEY)
  t.notMatch(body.toString('latin1'), 'MARK')
  t.ok(Buffer.from(decryptBytes(body, placeOfBody(name), withA)).equals(BODY))
  t.throws(() => decryptBytes(body, placeOfBody(digest ?? name.toReversed()), withA))
})

t.test('the name of a body is random and tells nothing of it', async (t) => {
  const names = [stored(NO_KEYS, DIGEST_KEY), stored(NO_KEYS, DIGEST_KEY)].map(({ name }) => name)
  t.notOk(names[0]?.equals(names[1] ?? names[0]))
  t.strictSame(names.map((name) => name.length), [32, 32]) // prettier-ignore
  t.notOk(names.some((name) => name.equals(plainDigest(BODY))))
})

t.test('equal bytes have one digest under one key, and it is none that the bytes alone give', async (t) => {
  const digests = [stored(withA, DIGEST_KEY), stored(withA, randomBytes(32))].map(({ digest }) => digest?.toString('hex')) // prettier-ignore
  t.equal(digests[0], digests[1], 'with keys the key of the installation has no part in it')
  const own = stored(NO_KEYS, DIGEST_KEY)
  t.not(own.digest?.toString('hex'), digests[0])
  t.not(own.digest?.toString('hex'), plainDigest(BODY).toString('hex'))
  t.strictSame([own.keyId, stored(withBoth, DIGEST_KEY).keyId], [null, 'b'])
  t.not(stored(NO_KEYS, DIGEST_KEY, Buffer.from('other')).digest?.toString('hex'), own.digest?.toString('hex'))
})

t.test('a body that an erasure has reduced has no digest', async (t) => {
  for (const keys of [NO_KEYS, withA]) t.match(stored(keys, null), { digest: null, keyId: null })
})

t.test('equal bytes are found under every key and without one', async (t) => {
  const possible = possibleDigests(BODY, withBoth, DIGEST_KEY)
  for (const keys of [withBoth, withA, NO_KEYS]) {
    const digest = stored(keys, DIGEST_KEY).digest?.toString('hex')
    t.ok(possible.includes(digest ?? ''), keys.newestId ?? 'no key')
  }
  t.equal(possible.length, 3)
  t.equal(
    possible.at(-1),
    stored(NO_KEYS, DIGEST_KEY).digest?.toString('hex'),
    'the last one is the lock of all workers',
  )
})

t.test('a row tells whether it holds the bytes that were received', async (t) => {
  t.ok(isAsReceived(stored(withA, DIGEST_KEY).row, BODY))
  t.notOk(isAsReceived(stored(withA, null).row, BODY))
  const older = { body: BODY, body_sha256: plainDigest(BODY), body_digest: null, digest_of: null }
  t.ok(isAsReceived(older, BODY))
  t.notOk(isAsReceived(older, Buffer.from('{}')))
  const rewritten = { ...older, digest_of: randomBytes(32), body_digest: randomBytes(32) }
  t.ok(isAsReceived(rewritten, BODY), 'an older version wrote the row again')
  t.notOk(isAsReceived(rewritten, Buffer.from('{}')))
})
