import { KeyRing, NO_KEYS } from '@persona-ingest/core'
import t from 'tap'
import {
  encodeRows,
  encryptDocument,
  isoTime,
  PersonalBytes,
  PersonalJson,
  type Place,
  RawJson,
} from '../../src/sql/row-values.ts'

import { aKey } from '../fixtures/some-keys.ts'

const PLACE: Place = ['inquiries', 'inq_1', 'attributes']

t.test('rows are one JSON text, in the order of rows and columns', async (t) => {
  t.equal(encodeRows([], NO_KEYS), '[]')
  t.equal(
    encodeRows([{ id: 'b', rank: 3, tags: ['x', 'y'] }, { id: 'a' }], NO_KEYS),
    '[{"id":"b","rank":3,"tags":["x","y"]},{"id":"a"}]',
  )
})

t.test('a column without a value is not sent', async (t) => {
  t.equal(encodeRows([{ id: null, status: null, rank: 0, name: '' }], NO_KEYS), '[{"rank":0,"name":""}]')
  t.equal(encodeRows([{ id: null }, {}], NO_KEYS), '[{},{}]')
})

t.test('texts and lists are escaped once', async (t) => {
  const texts = ['"', '\\', '\n', '\u0001', 'é', '花', '😀', "'; --", '</script>']
  t.strictSame(JSON.parse(encodeRows(texts.map((id) => ({ id, tags: [id, id] })), NO_KEYS)), texts.map((id) => ({ id, tags: [id, id] }))) // prettier-ignore
})

t.test('a JSON document goes in as it is, every digit of its numbers kept', async (t) => {
  const text = '{"n":1.50,"big":123456789012345678901234567890,"list":[ ]}'
  t.equal(encodeRows([{ fields: new RawJson(text) }], NO_KEYS), `[{"fields":${text}}]`)
  t.equal(encodeRows([{ attributes: new PersonalJson(text, PLACE) }], NO_KEYS), `[{"attributes":${text}}]`)
})

t.test('bytes are sent in the hex form of bytea', async (t) => {
  const bytes = Uint8Array.of(0, 1, 0x5c, 0xff)
  const text = encodeRows([{ body: new PersonalBytes(bytes, ['events', 'evt_1', 'original_body']) }], NO_KEYS)
  t.strictSame(JSON.parse(text), [{ body: '\\x00015cff' }])
})

t.test('with keys, personal values alone are encrypted, each for its place', async (t) => {
  const keys = new KeyRing([aKey('a')])
  const row = {
    id: 'MARK-id',
    relationships: new RawJson('{"a":"MARK-plain"}'),
    attributes: new PersonalJson('{"a":"MARK-document"}', PLACE),
    body: new PersonalBytes(Buffer.from('MARK-bytes'), ['events', 'evt_1', 'original_body']),
  }
  const text = encodeRows([row], keys)
  t.strictSame(text.match(/MARK-\w+/g), ['MARK-id', 'MARK-plain'])
  const [read] = JSON.parse(text) as [{ attributes: string; body: string }]
  t.equal(JSON.stringify(read.attributes), encryptDocument('{"a":"MARK-document"}', PLACE, keys))
  t.match(read.body, /^\\x[0-9a-f]+$/)
  t.notMatch(Buffer.from(read.body.slice(2), 'hex').toString('latin1'), 'MARK')
})

t.test('a time is told in ISO 8601 with milliseconds, whatever was told before', async (t) => {
  const times = [0, 1, 1, 0, -1, Date.UTC(2026, 1, 3, 10, 0, 0, 7), 0]
  t.strictSame(
    times.map((time) => isoTime(time)),
    times.map((time) => new Date(time).toISOString()),
  )
})
