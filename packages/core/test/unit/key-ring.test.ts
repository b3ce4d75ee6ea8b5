import { createHash, randomBytes } from 'node:crypto'
import t from 'tap'
import { KeyRing } from '../../src/key-ring.ts'

const aKey = (id: string) => `${id}:${randomBytes(32).toString('base64')}`
const [a, b] = [aKey('a'), aKey('b')]
const body = Buffer.from('{"name":"Zoe"}')

t.test('the first key seals, every key opens', async (t) => {
  const sealed = new KeyRing([a]).encrypt(body, 'evt_1')
  if (sealed === null) return t.fail('not sealed')
  t.equal(sealed.keyId, 'a')
  t.notMatch(sealed.bytes.toString('latin1'), 'Zoe')
  for (const keys of [[a], [a, b], [b, a]]) t.strictSame(new KeyRing(keys).decrypt(sealed, 'evt_1'), body)
  t.equal(new KeyRing([b, a]).encrypt(body, 'evt_1')?.keyId, 'b')
})

t.test('the same body is never the same text twice', async (t) => {
  const ring = new KeyRing([a])
  t.strictNotSame(ring.encrypt(body, 'evt_1')?.bytes, ring.encrypt(body, 'evt_1')?.bytes)
})

t.test('sealed comparably it is, in the same place and under the same key only', async (t) => {
  const ring = new KeyRing([a])
  const sealed = ring.encryptDeterministically(body, 'evt_1')
  if (sealed === null) return t.fail('not sealed')
  t.strictSame(ring.encryptDeterministically(body, 'evt_1'), sealed)
  t.strictSame(ring.decrypt(sealed, 'evt_1'), body)
  const noncesOf = (bytes: Buffer | undefined) => bytes?.subarray(0, 12).toString('hex')
  const others = [
    ring.encryptDeterministically(body, 'evt_2'),
    ring.encryptDeterministically(Buffer.from('{"name":"Zoo"}'), 'evt_1'),
    new KeyRing([b]).encryptDeterministically(body, 'evt_1'),
    ring.encrypt(body, 'evt_1'),
  ]
  t.equal(new Set([sealed, ...others].map((each) => noncesOf(each?.bytes))).size, 5)
  t.equal(new KeyRing([]).encryptDeterministically(body, 'evt_1'), null)
})

t.test('nothing else opens: another key, another place, a changed or a shortened text', async (t) => {
  const ring = new KeyRing([a])
  const sealed = ring.encrypt(body, 'evt_1')
  if (sealed === null) return t.fail('not sealed')
  t.equal(new KeyRing([b]).decrypt(sealed, 'evt_1'), null)
  t.equal(new KeyRing([b]).decrypt({ ...sealed, keyId: 'b' }, 'evt_1'), null)
  t.equal(new KeyRing([]).decrypt(sealed, 'evt_1'), null)
  t.equal(ring.decrypt(sealed, 'evt_2'), null)
  const { bytes } = sealed
  for (let at = 0; at < bytes.length; at += 1) {
    const changed = Buffer.from(bytes)
    changed[at] = (changed[at] ?? 0) ^ 1
    t.equal(ring.decrypt({ ...sealed, bytes: changed }, 'evt_1'), null, `byte ${at}`)
    t.equal(ring.decrypt({ ...sealed, bytes: bytes.subarray(0, at) }, 'evt_1'), null, `${at} bytes`)
  }
})

t.test('without keys nothing is sealed; what is no key is refused and not repeated', async (t) => {
  t.equal(new KeyRing([]).encrypt(body, 'evt_1'), null)
  for (const entry of ['', 'a', 'a:c2hvcnQ=', ':x', `${a}:x`]) t.throws(() => new KeyRing([entry]), RangeError)
  t.throws(() => new KeyRing([a, a]), /twice/)
  try {
    t.notOk(new KeyRing(['a:c2VjcmV0']))
  } catch (error) {
    t.notMatch((error as Error).message, 'c2VjcmV0')
  }
})

t.test('a digest needs the key, and one for another purpose can not be compared with it', async (t) => {
  const [k, l] = [randomBytes(32), randomBytes(32)]
  const hex = (ring: KeyRing, purpose = 'job ids', fallback: Buffer | null = null) =>
    ring.digest(purpose, body, fallback).bytes.toString('hex')
  t.equal(hex(new KeyRing([a])), hex(new KeyRing([a, b])), 'the newest key counts')
  t.equal(hex(new KeyRing([a]), 'job ids', k), hex(new KeyRing([a])), 'the fallback key is for an empty ring only')
  t.equal(hex(new KeyRing([]), 'job ids', k), hex(new KeyRing([]), 'job ids', k))
  const all = [
    hex(new KeyRing([a])),
    hex(new KeyRing([b])),
    hex(new KeyRing([a]), 'dead letters'),
    hex(new KeyRing([]), 'job ids', k),
    hex(new KeyRing([]), 'job ids', l),
    createHash('sha256').update(body).digest('hex'),
  ]
  t.equal(new Set(all).size, all.length)
  t.equal(new KeyRing([a]).digest('job ids', body, null).keyId, 'a')
  t.equal(new KeyRing([]).digest('job ids', body, k).keyId, null)
})

t.test('a look-up gets the digest under every key, the newest first', async (t) => {
  const fallback = randomBytes(32)
  const digests = new KeyRing([b, a]).digests('job ids', body, fallback)
  t.strictSame(
    digests,
    [new KeyRing([b]), new KeyRing([a]), new KeyRing([])].map((ring) => ring.digest('job ids', body, fallback)),
  )
  t.strictSame(new KeyRing([]).digests('job ids', body, null), [])
})

t.test('without any key there is no digest, and a short key is refused', async (t) => {
  t.throws(() => new KeyRing([]).digest('job ids', body, null), RangeError)
  t.throws(() => new KeyRing([]).digest('job ids', body, randomBytes(31)), RangeError)
  t.throws(() => new KeyRing([a]).digests('job ids', body, randomBytes(31)), RangeError)
})
