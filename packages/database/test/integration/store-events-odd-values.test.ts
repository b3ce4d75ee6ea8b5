import t from 'tap'
import { aDatabase } from '../fixtures/a-database.ts'
import { anEvent, anObject, bodyOf, rawBody, related } from '../fixtures/an-event.ts'
import { partOf } from '../fixtures/part-of.ts'

const database = await aDatabase(t)
const { sql, row, deliver, store } = database
t.beforeEach(() => database.empty())

const inquiryWith = (attributes: object): object => anObject('inquiry', 'inq_1', { attributes })

t.test('a text column holds the JSON text of a number or boolean', async (t) => {
  const verification = anObject('verification/selfie', 'ver_1', { attributes: { 'country-code': true } })
  for (const raw of ['12345678901234567890', '1.50', '-7', 'false']) {
    await database.empty()
    const data = inquiryWith({ 'reference-id': `<<${raw}>>`, tags: ['a', `<<${raw}>>`, null] })
    await deliver({ body: rawBody(anEvent({ data, included: [verification] })) })
    const expected = { reference_id: raw, tags: ['a', raw], attributes: {} }
    t.strictSame(partOf(await row('SELECT * FROM inquiries'), expected), expected)
  }
  t.strictSame(await sql('SELECT country_code FROM verifications'), [{ country_code: 'true' }])
})

t.test('what a column can not hold gives null and stays in attributes', async (t) => {
  const attributes = {
    status: 5,
    'reference-id': { nested: [1] },
    tags: ['a', { b: 1 }],
    fields: ['no', 'map'],
    'created-at': 1770112921,
    'updated-at': '',
    'started-at': 'yesterday',
    'completed-at': '2026-02-03T10:00:00',
    'failed-at': '2026-02-30T10:00:00Z',
    'expired-at': '2026-02-03',
    'decisioned-at': false,
    'marked-for-review-at': '12026-02-03T10:00:00Z',
  }
  const verification = anObject('verification/selfie', 'ver_1', {
    attributes: { 'country-code': ['JP'], checks: { name: 'x' }, 'submitted-at': 'soon' },
  })
  await store({ data: inquiryWith(attributes), included: [verification] })
  const expected = {
    status: null, reference_id: null, tags: ['a'], fields: {}, created_at: null, updated_at: null, started_at: null,
    completed_at: null, failed_at: null, expired_at: null, decisioned_at: null, marked_for_review_at: null,
    attributes: Object.fromEntries(Object.entries(attributes).map(([key, value]) => [key.replaceAll('-', '_'), value])),
  } // prettier-ignore
  t.strictSame(partOf(await row('SELECT * FROM inquiries'), expected), expected)
  t.strictSame(await row('SELECT country_code, checks, submitted_at, attributes FROM verifications'), {
    country_code: null,
    checks: [],
    submitted_at: null,
    attributes: { country_code: ['JP'], checks: { name: 'x' }, submitted_at: 'soon' },
  })
})

t.test('nulls in lists of tags are left out, null attributes stay, null values of columns do not', async (t) => {
  const attributes = { tags: [null, 'a', null], 'reference-id': null, fields: null, note: null, status: null }
  await store({ data: inquiryWith(attributes), name: 'inquiry.redacted-twice' })
  const expected = { tags: ['a'], reference_id: null, fields: {}, attributes: { note: null }, status: null }
  t.strictSame(partOf(await row('SELECT * FROM inquiries'), expected), expected)
  await store({ id: 'evt_2', createdAt: '2026-02-03T10:00:01Z', data: inquiryWith({ tags: null }) })
  t.strictSame(await row('SELECT tags, event_id FROM inquiries'), { tags: [], event_id: 'evt_2' })
})

t.test('a date column cuts what is beyond milliseconds, and takes any zone', async (t) => {
  const attributes = { 'created-at': '2026-02-03T10:00:00.9999999-08:00', 'expired-at': '0001-01-01T00:00:00Z' }
  await store({ data: inquiryWith(attributes) })
  const found = await row(`SELECT created_at, expired_at AT TIME ZONE 'UTC' = '0001-01-01' AS is_first FROM inquiries`)
  t.strictSame(found, { created_at: new Date('2026-02-03T18:00:00.999Z'), is_first: true })
})

t.test('NUL and lone surrogates become U+FFFD everywhere, and the bytes are kept', async (t) => {
  const data = anObject('inquiry', 'inq_\u0000', {
    attributes: { 'reference-id': 'a\u0000b', tags: ['t\u0000', '\ud800x'], 'name\u0000first': 'x\u0000' },
    relationships: { account: related(['account', 'act\u0000']) },
  })
  const body = rawBody(anEvent({ data, name: 'odd\u0000name', extra: { context: { lone: '\udc00' } } }))
  t.ok(body.includes('\\ud800') && body.includes('\\u0000'))
  await deliver({ body })
  const expected = {
    id: 'inq_\ufffd', reference_id: 'a\ufffdb', tags: ['t\ufffd', '\ufffdx'], account_id: 'act\ufffd',
    attributes: { 'name\ufffdfirst': 'x\ufffd' }, event_name: 'odd\ufffdname',
  } // prettier-ignore
  t.strictSame(partOf(await row('SELECT * FROM inquiries'), expected), expected)
  const event = await row('SELECT original_body, payload FROM events')
  t.ok(body.equals(event['original_body'] as Buffer))
  t.match(JSON.stringify(event['payload']), '"lone":"\ufffd"')
  t.strictSame(await sql('SELECT id FROM resources'), [{ id: 'act\ufffd' }])
})

t.test('the bytes are kept where jsonb can not give back what they said, and only there', async (t) => {
  const plain = anEvent({ data: inquiryWith({ note: 'Ünïcode \u{1f600} \\u0000 "quoted"', score: 0.25 }) })
  await deliver({ body: bodyOf(plain) })
  t.strictSame(await sql('SELECT original_body FROM events'), [{ original_body: null }], 'plain')
  const odd: Record<string, Buffer> = {
    exponent: rawBody(anEvent({ data: inquiryWith({ score: '<<1e2>>' }) })),
    'minus zero': rawBody(anEvent({ data: inquiryWith({ score: '<<-0>>' }) })),
    'key twice': rawBody(anEvent({ data: inquiryWith({ score: '<<{"a":1,"a":2}>>' }) })),
    'byte order mark': Buffer.concat([Buffer.from([0xef, 0xbb, 0xbf]), bodyOf(plain)]),
    'no UTF-8': Buffer.from(bodyOf(anEvent({ data: inquiryWith({ note: 'ÿ' }) })).toString('utf8'), 'latin1'),
  }
  for (const [name, body] of Object.entries(odd)) {
    await database.empty()
    await deliver({ body })
    const found = (await row('SELECT original_body FROM events'))['original_body'] as Buffer | null
    t.ok(found !== null && body.equals(found), name)
  }
})

t.test('numbers keep their digits', async (t) => {
  const integer = '123456789012345678901234567890'
  const body = rawBody(
    anEvent({
      data: inquiryWith({ big: `<<${integer}>>`, long: '<<96.18315124511720000001>>', zeros: '<<1.500>>' }),
      included: [anObject('report/x', 'rep_1', { attributes: { list: [`<<${integer}>>`] } })],
    }),
  )
  await deliver({ body })
  t.strictSame(
    await row(
      `SELECT attributes->>'big' AS big, attributes->>'long' AS long, attributes->>'zeros' AS zeros FROM inquiries`,
    ),
    { big: integer, long: '96.18315124511720000001', zeros: '1.500' },
  )
  t.strictSame(await row(`SELECT attributes#>>'{list,0}' AS item FROM resources WHERE id = 'rep_1'`), { item: integer })
  t.strictSame(await row(`SELECT payload#>>'{data,attributes,payload,data,attributes,big}' AS big FROM events`), {
    big: integer,
  })
})

t.test('size alone makes no event odd', async (t) => {
  const reference = 'r'.repeat(100_000)
  const tags = ['t'.repeat(5000), '', 'ä'.repeat(5000)]
  const note = 'n'.repeat(2 * 1024 * 1024)
  // An id counts in characters: 255 of them may be 1,020 bytes, in every index.
  const longest = '\u{1f600}'.repeat(255)
  const outcomes = await store(
    { id: 'evt_big', data: inquiryWith({ 'reference-id': reference, tags, note, status: 's'.repeat(10_000) }) },
    {
      id: 'e'.repeat(255),
      name: '\u{1f600}'.repeat(255),
      data: anObject('verification/selfie', longest, {
        relationships: {
          inquiry: related(['inquiry', `${longest.slice(2)}x`]),
          account: related(['account', 'act_1']),
        },
      }),
      included: [anObject('t'.repeat(10_000), `${longest.slice(2)}y`)],
    },
  )
  t.strictSame([...outcomes.values()], ['applied', 'applied'])
  const expected = { reference_id: reference, tags, status: 's'.repeat(10_000) }
  t.strictSame(partOf(await row(`SELECT * FROM inquiries WHERE id = 'inq_1'`), expected), expected)
  t.strictSame(await sql('SELECT id, inquiry_id FROM verifications'), [
    { id: longest, inquiry_id: `${longest.slice(2)}x` },
  ])
  t.strictSame(await sql('SELECT id FROM inquiries WHERE reference_id = $1', [reference]), [{ id: 'inq_1' }])
})

t.test('thousands of objects in one event', async (t) => {
  const included = Array.from({ length: 5000 }, (_, index) => anObject('document/generic', `doc_${index}`))
  await store({ included })
  t.strictSame(await row(`SELECT count(*)::int, count(DISTINCT inquiry_id)::int AS inquiries FROM resources`), {
    count: 5000,
    inquiries: 1,
  })
})

t.test('each type goes to its table, and only those of an inquiry carry one', async (t) => {
  const linked = ['report/watchlist', 'report', 'document/generic', 'document', 'selfie/profile-and-center', 'selfie']
  const sessions = ['inquiry-session', 'session']
  const others = [
    'verification-template/selfie', 'verifications', 'Verification/selfie', 'report-template/x', 'inquiry-template',
    'inquiry/one-time-link', 'Inquiry', 'session/x', 'account', 'constructor', '__proto__', '/', 'ケース',
  ] // prettier-ignore
  const included = [...linked, ...sessions, ...others].map((type) => anObject(type, `id ${type}`))
  const verifications = ['verification', 'verification/', 'verification/x/y'].map((type) =>
    anObject(type, `id ${type}`),
  )
  await store({ included: [...included, ...verifications] })
  const resources = await sql('SELECT type, inquiry_id FROM resources ORDER BY type COLLATE "C"')
  const expected = [
    ...[...linked, ...sessions].map((type) => ({ type, inquiry_id: 'inq_1' })),
    ...others.map((type) => ({ type, inquiry_id: null })),
  ]
  const byType = (left: { type: string }, right: { type: string }) => Buffer.compare(Buffer.from(left.type), Buffer.from(right.type)) // prettier-ignore
  t.strictSame(resources, expected.toSorted(byType))
  t.strictSame(await sql('SELECT type, inquiry_id FROM verifications ORDER BY id'), [
    { type: 'verification', inquiry_id: 'inq_1' },
    { type: 'verification/', inquiry_id: 'inq_1' },
    { type: 'verification/x/y', inquiry_id: 'inq_1' },
  ])
})

t.test('a type that is no text, and objects that are none', async (t) => {
  const included = [
    null, 7, 'text', [], {}, { type: 'account' }, { type: 'account', id: '' }, { type: 'account', id: 5 },
    { type: 'account', id: 'x'.repeat(256) }, { type: 42, id: 'numeric' }, { type: ['list'], id: 'list' }, { id: 'none' },
    { type: 'account', id: 'twice', attributes: { n: 1 } }, { type: 'account', id: 'twice', attributes: { n: 2 } },
    { type: 'account', id: 'odd members', attributes: 'none', relationships: [1] },
  ] // prettier-ignore
  await store({ included })
  t.strictSame(await sql('SELECT id, type, attributes, relationships FROM resources ORDER BY id COLLATE "C"'), [
    { id: 'list', type: null, attributes: {}, relationships: {} },
    { id: 'none', type: null, attributes: {}, relationships: {} },
    { id: 'numeric', type: '42', attributes: {}, relationships: {} },
    { id: 'odd members', type: 'account', attributes: {}, relationships: {} },
    { id: 'twice', type: 'account', attributes: { n: 1 }, relationships: {} },
  ])
})

t.test('keys that JavaScript has names for are keys like any other', async (t) => {
  // A long number makes a different parser read the text.
  for (const number of ['3', '12345678901234567890']) {
    await database.empty()
    const attributes = `<<{"__proto__":{"status":"x"},"constructor":1,"toString":2,"hasOwnProperty":${number}}>>`
    await deliver({ body: rawBody(anEvent({ data: { type: 'inquiry', id: 'inq_1', attributes } })) })
    t.strictSame(await row(`SELECT status, attributes::text FROM inquiries`), {
      status: null,
      attributes: `{"toString": 2, "__proto__": {"status": "x"}, "constructor": 1, "hasOwnProperty": ${number}}`,
    })
  }
})
