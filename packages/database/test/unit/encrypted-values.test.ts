import { KeyRing, NO_KEYS } from '@persona-ingest/core'
import t from 'tap'
import {
  bytesPrefix,
  decryptBytes,
  decryptDocument,
  DecryptionError,
  documentPrefix,
  encryptBytes,
  encryptDocument,
  type Place,
} from '../../src/sql/row-values.ts'
import { aKey } from '../fixtures/some-keys.ts'

const [a, b] = [aKey('a'), aKey('b')]
const [withA, withB, withBoth] = [new KeyRing([a]), new KeyRing([b]), new KeyRing([b, a])]
/** Another key under the id of the first. */
const withOtherA = new KeyRing([aKey('a')])

const TEXT = '{"name_first":"MARK","n":1.50}'
const BYTES = Buffer.from('{"name_first": "MARK"')
const ROW: Place = ['inquiries', 'inq_1', 'attributes']
const EVENT: Place = ['events', 'evt_1', 'payload']
const BODY: Place = ['events', 'evt_1', 'original_body']
const ELSEWHERE: readonly Place[] = [
  ['verifications', 'inq_1', 'attributes'],
  ['inquiries', 'inq_2', 'attributes'],
  ['inquiries', 'inq_1', 'fields'],
]

const same = (left: Uint8Array, right: Uint8Array): boolean => Buffer.from(left).equals(right)

/** The error of a call that fails to decrypt; null where it does not fail. */
function errorOf(call: () => unknown): DecryptionError | null {
  try {
    call()
    return null
  } catch (error) {
    if (error instanceof DecryptionError) return error
    throw error
  }
}

/** What PostgreSQL gives back of a stored document: the text of a JSON string. */
const textWith = (value: string): string => JSON.stringify(value)

t.test('without keys nothing is encrypted', async (t) => {
  t.equal(encryptDocument(TEXT, ROW, NO_KEYS), TEXT)
  t.equal(encryptBytes(BYTES, BODY, NO_KEYS), BYTES)
})

t.test('a plain document and plain bytes are read with and without keys', async (t) => {
  for (const keys of [NO_KEYS, withA]) {
    t.equal(decryptDocument(TEXT, ROW, keys), TEXT)
    t.equal(decryptBytes(BYTES, BODY, keys), BYTES)
  }
})

t.test('an encrypted document is a JSON string that begins with the id of its key and hides its content', async (t) => {
  const stored = encryptDocument(TEXT, ROW, withA)
  const value = JSON.parse(stored) as string
  t.ok(value.startsWith(documentPrefix('a')))
  t.match(value, /^a:[A-Za-z0-9+/]+=*$/)
  t.notMatch(Buffer.from(value.slice(2), 'base64').toString('latin1'), /MARK|name_first/)
  t.equal(decryptDocument(stored, ROW, withA), '{"n":1.50,"name_first":"MARK"}')
})

t.test('the newest key encrypts and every key decrypts', async (t) => {
  const stored = encryptDocument(TEXT, EVENT, withA)
  t.equal(decryptDocument(stored, EVENT, withBoth), TEXT)
  t.ok(encryptDocument(TEXT, EVENT, withBoth).startsWith('"b:'))
  const bytes = encryptBytes(BYTES, BODY, withA)
  t.ok(same(decryptBytes(bytes, BODY, withBoth), BYTES))
  t.ok(same(encryptBytes(BYTES, BODY, withBoth).subarray(0, 10), bytesPrefix('b')))
})

t.test('an empty document stays plain, so that an erasure is seen without a key', async (t) => {
  t.equal(encryptDocument('{}', ROW, withA), '{}')
  t.not(encryptDocument('{"a":{}}', ROW, withA), '{"a":{}}')
})

t.test('in rows, texts of one value are encrypted to one text', async (t) => {
  const spellings = ['{"b":[1,{"d":2,"c":3}],"a":"é"}', '{ "a" : "\\u00e9", "b":[1,{"c":3,"d":2}] }']
  t.equal(new Set(spellings.map((text) => encryptDocument(text, ROW, withA))).size, 1)
  const others = ['{"a":1}', '{"a":1.0}', '{"a":"1"}', '{"a":[1]}', '{"A":1}']
  t.equal(new Set(others.map((text) => encryptDocument(text, ROW, withA))).size, others.length)
})

t.test('in the log, a payload keeps its text to the letter', async (t) => {
  for (const text of [TEXT, '{ "b":1, "a":2 }', '{"a":"\\u00e9"}'])
    t.equal(decryptDocument(encryptDocument(text, EVENT, withA), EVENT, withA), text)
})

t.test('one document is encrypted to another text in every place and under every key', async (t) => {
  const places = [ROW, EVENT, ...ELSEWHERE]
  const texts = [...places.map((place) => encryptDocument(TEXT, place, withA)), encryptDocument(TEXT, ROW, withB)]
  t.equal(new Set(texts.map((text) => text.slice(3))).size, texts.length)
})

t.test('a document decrypts in its own place only', async (t) => {
  const stored = encryptDocument(TEXT, ROW, withA)
  const bytes = encryptBytes(BYTES, ROW, withA)
  for (const place of ELSEWHERE) {
    t.match(errorOf(() => decryptDocument(stored, place, withA)), { isChanged: true, keyId: 'a' }) // prettier-ignore
    t.match(errorOf(() => decryptBytes(bytes, place, withA)), { isChanged: true, keyId: 'a' }) // prettier-ignore
  }
})

t.test('a missing key is told apart from a changed value', async (t) => {
  const [stored, bytes] = [encryptDocument(TEXT, ROW, withA), encryptBytes(BYTES, BODY, withA)]
  for (const [keys, isChanged] of [
    [withB, false],
    [NO_KEYS, false],
    [withOtherA, true],
  ] as const) {
    // prettier-ignore
    for (const error of [errorOf(() => decryptDocument(stored, ROW, keys)), errorOf(() => decryptBytes(bytes, BODY, keys))]) // prettier-ignore
      t.match(error, { name: 'DecryptionError', keyId: 'a', isChanged })
  }
})

t.test('an error names the place and no content', async (t) => {
  const error = errorOf(() => decryptDocument(encryptDocument(TEXT, ROW, withA), ROW, withB))
  t.match(error?.message, 'attributes of inq_1 in inquiries')
  t.notMatch(error?.message, 'MARK')
  for (const odd of ['MARK name: first', '', '\u0000', 'x'.repeat(65)]) {
    const changed = errorOf(() => decryptDocument(textWith(`${odd}:AAAA`), ROW, withA))
    t.match(changed, { keyId: 'unreadable', isChanged: false })
    t.notMatch(changed?.message, /MARK|xxx/)
  }
})

t.test('an error does not quote an id that may be any text', async (t) => {
  const place: Place = ['resources', 'MARK name: first', 'attributes']
  const error = errorOf(() => decryptDocument(encryptDocument(TEXT, place, withA), place, withB))
  t.match(error?.message, 'attributes of a row in resources')
  t.notMatch(error?.message, 'MARK')
})

t.test('a changed document does not decrypt', async (t) => {
  const value = JSON.parse(encryptDocument(TEXT, ROW, withA)) as string
  const bytes = Buffer.from(value.slice(2), 'base64')
  for (const index of [0, 12, bytes.length - 17, bytes.length - 1]) {
    const changed = Buffer.from(bytes)
    changed[index] = (changed[index] ?? 0) ^ 1
    const stored = textWith(`a:${changed.toString('base64')}`)
    t.match(errorOf(() => decryptDocument(stored, ROW, withA)), { isChanged: true }, `byte ${index}`) // prettier-ignore
  }
  for (const cut of ['a:', 'a', 'a:AAAA', value.slice(0, -8)])
    t.ok(errorOf(() => decryptDocument(textWith(cut), ROW, withA)), cut) // prettier-ignore
})

t.test('encrypted bytes begin with a mark and the id of their key, and differ each time', async (t) => {
  const [first, second] = [encryptBytes(BYTES, BODY, withA), encryptBytes(BYTES, BODY, withA)]
  for (const stored of [first, second]) {
    const prefix = bytesPrefix('a')
    t.ok(same(stored.subarray(0, prefix.length), prefix))
    t.equal(stored[0], 0, 'no JSON begins with NUL')
    t.notMatch(Buffer.from(stored).toString('latin1'), 'MARK')
    t.ok(same(decryptBytes(stored, BODY, withA), BYTES))
  }
  t.notOk(same(first, second))
})

t.test('bytes are read from within a larger buffer', async (t) => {
  const stored = encryptBytes(BYTES, BODY, withA)
  const larger = Buffer.concat([Buffer.alloc(5, 1), stored, Buffer.alloc(5, 2)])
  t.ok(same(decryptBytes(new Uint8Array(larger.buffer, larger.byteOffset + 5, stored.length), BODY, withA), BYTES))
})

t.test('changed bytes do not decrypt; what only looks like the mark is plain', async (t) => {
  const stored = Buffer.from(encryptBytes(BYTES, BODY, withA))
  const changed = Buffer.from(stored)
  changed[stored.length - 1] = (changed.at(-1) ?? 0) ^ 1
  t.match(errorOf(() => decryptBytes(changed, BODY, withA)), { isChanged: true }) // prettier-ignore
  t.ok(errorOf(() => decryptBytes(stored.subarray(0, bytesPrefix('a').length), BODY, withA)))
  const markAlone = bytesPrefix('a').subarray(0, -2)
  for (const plain of [Buffer.alloc(0), Buffer.from([0]), markAlone, Buffer.concat([Buffer.from(' '), stored])])
    t.equal(decryptBytes(plain, BODY, withA), plain)
})

t.test('empty bytes and large ones come back', async (t) => {
  for (const bytes of [Buffer.alloc(0), Buffer.alloc(100_000, 7)])
    t.ok(same(decryptBytes(encryptBytes(bytes, BODY, withA), BODY, withA), bytes))
})
