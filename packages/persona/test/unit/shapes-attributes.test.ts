import t from 'tap'
import { stringifyExact } from '../../src/json.ts'
import { anEvent, anObject, read, readText, told, type Json } from '../model/event-document.ts'

/** Shapes of attributes seen in public bodies, each with what the rows would be told. */

function inquiry(attributes: Json, name = 'inquiry.approved') {
  return told(read(anEvent({ name, data: anObject('inquiry', 'inq_1', attributes) })), 'inq_1')
}

t.test('empty attributes leave the status to the name', async (t) => {
  t.match(inquiry({}), { status: 'approved', attributes: {}, snapshot: { tags: [], fields: {}, reference_id: null } })
  t.match(inquiry({}, 'inquiry.transitioned'), { status: null })
})

t.test('a status that is missing is told by the name, an unknown one is taken as it is', async (t) => {
  t.equal(inquiry({ 'name-first': 'x' }, 'inquiry.marked-for-review')?.status, 'needs_review')
  t.equal(inquiry({ status: 'paused' }, 'inquiry.approved')?.status, 'paused')
})

t.test('null tags in a list are left out', async (t) => {
  t.match(inquiry({ tags: ['A', null, 'B', null] })?.snapshot, { tags: ['A', 'B'] })
  t.strictSame(inquiry({ tags: [null] })?.attributes, {})
})

t.test('numbers of seconds beside times stay attributes', async (t) => {
  const attributes = {
    'created-at': '2026-02-03T10:02:01.000Z',
    'created-at-ts': 1_770_112_921,
    'submitted-at': null,
    'submitted-at-ts': null,
    'completed-at-ts': 1_770_112_922,
  }
  const event = read(
    anEvent({ data: anObject('inquiry', 'inq_1'), included: [anObject('verification/selfie', 'v', attributes)] }),
  )
  t.match(told(event, 'v'), {
    attributes: { created_at_ts: 1_770_112_921, submitted_at_ts: null, completed_at_ts: 1_770_112_922 },
    snapshot: { created_at: 1_770_112_921_000, submitted_at: null, completed_at: null, redacted_at: null },
  })
})

t.test('long floats and large integers keep every digit', async (t) => {
  const numbers = {
    score: '96.1831512451172',
    time: '40.17246390312345678901234567890',
    large: '12345678901234567890',
    amount: '1.10',
    tiny: '0.0000001',
  }
  const members = Object.entries(numbers).map(([key, number]) => `"${key}":${number}`)
  const text = JSON.stringify(anEvent({ data: anObject('case', 'c', { HERE: 1 }) })).replace(
    '"HERE":1',
    members.join(','),
  )
  const event = readText(text)
  const attributes = event.primary.snapshot.attributes
  for (const [key, number] of Object.entries(numbers)) t.equal(stringifyExact(attributes[key] ?? null), number, key)
  t.equal(event.payloadText, text)
  t.equal(event.originalBytes, null)
})

t.test('text of any script stays what it is, escaped or not', async (t) => {
  const texts = {
    'native-name-first': '花子',
    combining: 'Zoe\u0308 e\u0301',
    composed: 'Zo\u00eb \u00e9',
    emoji: '👩‍👩‍👧‍👦 🇯🇵',
    'right-to-left': 'مرحبا \u202bשלום\u202c',
    separators: 'a\u2028b\u2029c',
    blanks: ' \u00a0 ',
    control: '\u0001\u001f',
  }
  const expected = Object.fromEntries(Object.entries(texts).map(([key, text]) => [key.replaceAll('-', '_'), text]))
  const text = JSON.stringify(anEvent({ data: anObject('case', 'c', texts) }))
  const escaped = text.replace(/[^\u0020-\u007e]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`)
  t.match(escaped, /\\ud83d\\udc69/)
  for (const delivered of [text, escaped]) {
    const event = readText(delivered)
    t.strictSame(told(event, 'c')?.attributes, expected)
    t.equal(event.payloadText, delivered)
    t.equal(event.originalBytes, null)
  }
})

t.test('an empty text where a date is expected is no date, and stays', async (t) => {
  const event = read(
    anEvent({
      data: anObject('inquiry', 'inq_1', { 'completed-at': '', 'failed-at': 'not yet' }),
      included: [anObject('verification/government-id', 'v', { 'expiration-date': '', 'submitted-at': '' })],
    }),
  )
  t.match(told(event, 'inq_1'), {
    attributes: { completed_at: '', failed_at: 'not yet' },
    snapshot: { completed_at: null, failed_at: null },
  })
  t.match(told(event, 'v'), { attributes: { expiration_date: '', submitted_at: '' } })
})

t.test('field names with digits, dashes and any casing stay as the customer made them', async (t) => {
  const fields = {
    name_first: { type: 'string', value: 'Zoë' },
    'contactWays-2': { type: 'multi_choices', value: ['email'] },
    'addressStreet1-6': { type: 'hash', value: { 'inner-Key': { 'deepest-key': 1 } } },
    '2nd': null,
    'Ünïcode Key!': { type: 'json', value: null },
  }
  t.strictSame(inquiry({ fields })?.snapshot?.['fields'], fields)
})

t.test('a wrong kind where a list is expected stays an attribute', async (t) => {
  const attributes = { 'identification-numbers': {}, checks: {}, tags: {}, 'photo-urls': null }
  const event = read(
    anEvent({ data: anObject('inquiry', 'inq_1'), included: [anObject('verification/x', 'v', attributes)] }),
  )
  t.match(told(event, 'v')?.snapshot, { checks: [] })
  t.strictSame(told(event, 'v')?.attributes, { identification_numbers: {}, checks: {}, tags: {}, photo_urls: null })
})

t.test('a creator that is an e-mail address is an attribute, which erasure takes away', async (t) => {
  t.match(inquiry({ creator: 'reviewer@customer.example' }), { attributes: { creator: 'reviewer@customer.example' } })
})

t.test('both spellings of behaviors stay, and null ones too', async (t) => {
  t.strictSame(inquiry({ behaviors: null, behaviours: { 'bot-score': null } })?.attributes, {
    behaviors: null,
    behaviours: { bot_score: null },
  })
})

t.test('a redacted inquiry keeps its status, and its nulls overwrite', async (t) => {
  const attributes = {
    status: 'approved',
    'name-first': null,
    note: null,
    tags: [],
    fields: { name_first: { type: 'string', value: null } },
    'reference-id': null,
    'created-at': '2026-02-03T10:00:00.000Z',
    'redacted-at': '2026-02-03T10:06:20.000Z',
  }
  const event = read(anEvent({ name: 'inquiry.redacted', data: anObject('inquiry', 'inq_1', attributes) }))
  t.strictSame(event.redactedInquiryIds, ['inq_1'])
  t.match(told(event, 'inq_1'), {
    status: 'approved',
    attributes: { name_first: null, note: null },
    snapshot: {
      reference_id: null,
      tags: [],
      fields: { name_first: { type: 'string', value: null } },
      redacted_at: Date.parse('2026-02-03T10:06:20Z'),
    },
  })
})
