import t from 'tap'
import { quarantineReasons, readEnvelope } from '../../src/envelope.ts'
import { anEvent, anObject, bodyOf, edited, RECEIVED_AT_MS, type Json } from '../model/event-document.ts'

const EVENT_ID = 'evt_TestAaaa0001'
const ATTRIBUTES = ['data', 'attributes'] as const
const PRIMARY = [...ATTRIBUTES, 'payload', 'data'] as const

function judge(body: Buffer) {
  const envelope = readEnvelope(body, RECEIVED_AT_MS)
  return envelope.ok ? 'OK' : { reason: envelope.reason, eventId: envelope.eventId }
}

/** What becomes of a usable event with one value replaced, or left out where it is undefined. */
function judgeWith(path: readonly string[], value: Json | undefined) {
  return judge(bodyOf(edited(anEvent({}), path, value)))
}

const WRONG_KINDS = [null, true, 5, [], ['x'], {}] as const

t.test('the reasons are the stable ones', async (t) => {
  t.strictSame(quarantineReasons, [
    'INVALID_JSON',
    'NOT_AN_OBJECT',
    'NESTING_TOO_DEEP',
    'EVENT_ID_INVALID',
    'EVENT_NAME_INVALID',
    'PAYLOAD_INVALID',
    'CREATED_AT_MISSING',
    'CREATED_AT_INVALID',
    'CREATED_AT_OUT_OF_RANGE',
  ])
})

t.test('a usable event is told with its id, name, time and casing', async (t) => {
  t.match(readEnvelope(bodyOf(anEvent({})), RECEIVED_AT_MS), {
    ok: true,
    eventId: EVENT_ID,
    name: 'inquiry.approved',
    createdAtMs: Date.parse('2026-02-03T10:06:21.739Z'),
    casing: 'kebab',
    included: [],
  })
})

t.test('what is no JSON is quarantined without an id', async (t) => {
  const whole = JSON.stringify(anEvent({}))
  const texts = ['', ' ', whole.slice(0, -1), `${whole}}`, `${whole}${whole}`, "{'a':1}", '{"a":1,}', '{"a":NaN}', 'x']
  const expected = { reason: 'INVALID_JSON', eventId: null }
  for (const text of texts) t.strictSame(judge(Buffer.from(text)), expected, text)
  t.strictSame(judge(Buffer.from(whole, 'utf16le')), expected, 'UTF-16')
  t.strictSame(judge(Buffer.from(`\ufeff\ufeff${whole}`)), expected, 'two byte order marks')
  t.strictSame(judge(Buffer.from(whole.replace('inquiry', 'in\u0000quiry'))), expected, 'a raw NUL')
})

t.test('JSON that is no object is quarantined without an id', async (t) => {
  for (const text of ['null', 'true', '1', '1e999', '"{}"', '[]', `[${JSON.stringify(anEvent({}))}]`])
    t.strictSame(judge(Buffer.from(text)), { reason: 'NOT_AN_OBJECT', eventId: null }, text)
})

t.test('an event id is 1 to 255 of the letters, digits, underscore and dash', async (t) => {
  const expected = { reason: 'EVENT_ID_INVALID', eventId: null }
  const ids = ['', 'evt 1', 'evt_1\n', 'evt:1', 'evt.1', 'evt/1', 'évt', 'evt_\u0000', 'x'.repeat(256), undefined]
  for (const id of [...ids, ...WRONG_KINDS]) t.strictSame(judgeWith(['data', 'id'], id), expected, JSON.stringify(id))
  for (const data of [undefined, ...WRONG_KINDS, 'x'])
    t.strictSame(judgeWith(['data'], data), expected, `data ${JSON.stringify(data)}`)
  for (const id of ['x', '-', '_', '0', 'evt_Aa0-', 'x'.repeat(255)]) t.equal(judgeWith(['data', 'id'], id), 'OK', id)
})

t.test('an event name is a text of 1 to 255 characters', async (t) => {
  const expected = { reason: 'EVENT_NAME_INVALID', eventId: EVENT_ID }
  for (const name of ['', 'x'.repeat(256), '😀'.repeat(256), undefined, ...WRONG_KINDS])
    t.strictSame(judgeWith([...ATTRIBUTES, 'name'], name), expected, JSON.stringify(name))
  for (const attributes of [undefined, ...WRONG_KINDS, 'x'])
    t.strictSame(judgeWith(ATTRIBUTES, attributes), expected, `attributes ${JSON.stringify(attributes)}`)
  for (const name of ['x', 'x'.repeat(255), '😀'.repeat(255), '\ud800'.repeat(255), 'new\nline', '\u0000', ' '])
    t.equal(judgeWith([...ATTRIBUTES, 'name'], name), 'OK', JSON.stringify(name))
})

t.test('the payload must hold an object with a type and an id of 1 to 255 characters', async (t) => {
  const expected = { reason: 'PAYLOAD_INVALID', eventId: EVENT_ID }
  for (const payload of [undefined, ...WRONG_KINDS, 'x'])
    t.strictSame(judgeWith([...ATTRIBUTES, 'payload'], payload), expected, `payload ${JSON.stringify(payload)}`)
  for (const data of [undefined, ...WRONG_KINDS, 'x', [anObject('inquiry', 'inq_1')]])
    t.strictSame(judgeWith(PRIMARY, data), expected, `payload.data ${JSON.stringify(data)}`)
  for (const key of ['type', 'id']) {
    for (const value of ['', 'x'.repeat(256), '😀'.repeat(256), undefined, ...WRONG_KINDS])
      t.strictSame(judgeWith([...PRIMARY, key], value), expected, `${key} ${JSON.stringify(value)}`)
    for (const value of ['x', 'x'.repeat(255), '😀'.repeat(255), ' ', 'a:b/c', '\u0000'])
      t.equal(judgeWith([...PRIMARY, key], value), 'OK', `${key} ${JSON.stringify(value)}`)
  }
})

t.test('inherited names stand for nothing', async (t) => {
  const inherited = JSON.parse(`{"__proto__":${JSON.stringify(anEvent({}))}}`) as Json
  t.strictSame(judge(bodyOf(inherited)), { reason: 'EVENT_ID_INVALID', eventId: null })
  const payload = JSON.parse('{"__proto__":{"data":{"type":"inquiry","id":"inq_1"}},"n":1.0}') as Json
  t.strictSame(judgeWith([...ATTRIBUTES, 'payload'], payload), { reason: 'PAYLOAD_INVALID', eventId: EVENT_ID })
})

t.test('created-at may be spelt in three casings, and the casing of the body is told by it', async (t) => {
  const spellings = { 'created-at': 'kebab', createdAt: 'camel', created_at: 'snake' }
  const without = edited(anEvent({}), [...ATTRIBUTES, 'created-at'], undefined)
  for (const [key, casing] of Object.entries(spellings)) {
    const document = edited(without, [...ATTRIBUTES, key], '2026-02-03T10:06:21.739Z')
    t.match(readEnvelope(bodyOf(document), RECEIVED_AT_MS), { ok: true, casing }, key)
    const beside = edited(
      edited(without, [...ATTRIBUTES, 'created-at'], null),
      [...ATTRIBUTES, key],
      '2026-02-03T10:06Z',
    )
    t.match(readEnvelope(bodyOf(beside), RECEIVED_AT_MS), { ok: true, casing }, `${key} beside a null`)
  }
  for (const key of ['CreatedAt', 'created at', 'createdat', 'CREATED_AT'])
    t.strictSame(judge(bodyOf(edited(without, [...ATTRIBUTES, key], '2026-02-03T10:06:21.739Z'))), {
      reason: 'CREATED_AT_MISSING',
      eventId: EVENT_ID,
    })
})

t.test('created-at must be there, readable, and have a zone', async (t) => {
  const path = [...ATTRIBUTES, 'created-at']
  for (const value of [undefined, null])
    t.strictSame(judgeWith(path, value), { reason: 'CREATED_AT_MISSING', eventId: EVENT_ID })
  const values = ['', '2026-02-03', '2026-02-03T10:06:21.739', '2026-02-30T10:06:21Z', 1_770_112_921, true, [], {}]
  for (const value of values)
    t.strictSame(judgeWith(path, value), { reason: 'CREATED_AT_INVALID', eventId: EVENT_ID }, JSON.stringify(value))
})

t.test('created-at lies from 2015 to 24 hours after the receipt, to the millisecond', async (t) => {
  const path = [...ATTRIBUTES, 'created-at']
  const limitMs = RECEIVED_AT_MS + 24 * 60 * 60 * 1000
  const expected = { reason: 'CREATED_AT_OUT_OF_RANGE', eventId: EVENT_ID }
  t.equal(judgeWith(path, '2015-01-01T00:00:00.000Z'), 'OK')
  t.equal(judgeWith(path, '2015-01-01T01:00:00.000+01:00'), 'OK')
  t.equal(judgeWith(path, new Date(limitMs).toISOString()), 'OK')
  t.equal(judgeWith(path, new Date(limitMs).toISOString().replace('Z', '999Z')), 'OK', 'cut before it is judged')
  t.strictSame(judgeWith(path, '2014-12-31T23:59:59.999Z'), expected)
  t.strictSame(judgeWith(path, '2014-12-31T23:59:59.9999999Z'), expected, 'cut, not rounded into 2015')
  t.strictSame(judgeWith(path, new Date(limitMs + 1).toISOString()), expected)
  t.strictSame(judgeWith(path, '0001-01-01T00:00:00Z'), expected)
  t.strictSame(judgeWith(path, '9999-12-31T23:59:59Z'), expected)
})

t.test('whatever else is odd, unknown, null or missing leaves an event usable', async (t) => {
  const odd = [null, true, 5, 'x', [], {}, [null], [[]], { data: [] }] as const
  const paths = [
    ['links'],
    ['data', 'type'],
    [...ATTRIBUTES, 'context'],
    [...ATTRIBUTES, 'redacted-at'],
    [...ATTRIBUTES, 'payload', 'included'],
    [...PRIMARY, 'attributes'],
    [...PRIMARY, 'relationships'],
    [...PRIMARY, 'links'],
  ]
  for (const path of paths)
    for (const value of [...odd, undefined])
      t.equal(judgeWith(path, value), 'OK', `${path.join('.')} ${JSON.stringify(value)}`)
  t.equal(judge(Buffer.concat([Buffer.from('\ufeff'), bodyOf(anEvent({}))])), 'OK', 'a byte order mark')
})

t.test('a document of 1,000 levels is usable, one of 1,001 is not, whatever it is made of', async (t) => {
  const text = JSON.stringify(anEvent({ data: anObject('inquiry', 'inq_1', { deep: 'HERE' }) }))
  // The document, data, attributes, payload, data, attributes.
  const above = 6
  for (const [open, close] of [
    ['[', ']'],
    ['{"a":', '}'],
    ['[{"a-b":', '}]'],
  ] as const) {
    const levels = open.startsWith('[{') ? 2 : 1
    const nested = (depth: number) =>
      Buffer.from(text.replace('"HERE"', open.repeat(depth / levels) + '1.0' + close.repeat(depth / levels)))
    t.equal(judge(nested(1_000 - above)), 'OK', open)
    for (const depth of [1_002 - above, 4_000, 200_000])
      t.strictSame(judge(nested(depth)), { reason: 'NESTING_TOO_DEEP', eventId: EVENT_ID }, `${open} ${depth}`)
  }
})

t.test('nesting is judged after the syntax and the kind of the document, and before its id', async (t) => {
  const deep = '['.repeat(5_000)
  const closed = deep + ']'.repeat(5_000)
  t.strictSame(judge(Buffer.from(`{"data":${deep}`)), { reason: 'INVALID_JSON', eventId: null })
  t.strictSame(judge(Buffer.from(closed)), { reason: 'NOT_AN_OBJECT', eventId: null })
  t.strictSame(judge(Buffer.from(`{"data":${closed}}`)), { reason: 'NESTING_TOO_DEEP', eventId: null })
  t.strictSame(judge(Buffer.from(`{"data":{"id":"!"},"x":${closed}}`)), { reason: 'NESTING_TOO_DEEP', eventId: null })
  t.strictSame(judge(Buffer.from(`{"data":{"id":"evt_1"},"x":${closed}}`)), {
    reason: 'NESTING_TOO_DEEP',
    eventId: 'evt_1',
  })
  t.strictSame(judge(Buffer.from(`{"x":"${'['.repeat(5_000)}"}`)), { reason: 'EVENT_ID_INVALID', eventId: null })
})
