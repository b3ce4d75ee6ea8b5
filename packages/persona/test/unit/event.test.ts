import t from 'tap'
import { UnusableEventError, type PersonaEvent } from '../../src/event.ts'
import {
  anEvent,
  anObject,
  bodyOf,
  edited,
  flat,
  plain,
  read,
  readBody,
  readText,
  relation,
  type Json,
} from '../model/event-document.ts'

const INQUIRY = { type: 'inquiry', id: 'inq_1' }

/** Claims as `object strength inquiry`, sorted. */
function claimsOf(event: PersonaEvent): readonly string[] {
  const words = { 3: 'says', 2: 'is said by', 1: 'stands beside' }
  return event.claims
    .map(({ objectId, strength, inquiryId }) => `${objectId} ${words[strength]} ${inquiryId}`)
    .toSorted()
}

function referencesOf(event: PersonaEvent): readonly string[] {
  return event.references.map(({ type, id }) => `${type} ${id}`).toSorted()
}

t.test('an event tells its clock, names and document', async (t) => {
  const document = anEvent({ name: 'inquiry.redacted', createdAt: '2026-02-03T11:06:21.7399+01:00' })
  const event = read(document)
  t.match(event, {
    id: 'evt_TestAaaa0001',
    environment: 'production',
    name: 'inquiry.redacted',
    clock: { createdAtMs: Date.parse('2026-02-03T10:06:21.739Z'), rank: 7, eventId: 'evt_TestAaaa0001' },
    casing: 'kebab',
    originalBytes: null,
  })
  t.strictSame(plain(event.document), document)
  t.equal(event.payloadText, JSON.stringify(document))
})

t.test('an unusable body is refused with its reason and without its text', async (t) => {
  const bodies = [
    ['INVALID_JSON', '{"secret'],
    ['NOT_AN_OBJECT', '["secret"]'],
    ['NESTING_TOO_DEEP', `{"secret":${'['.repeat(1_000)}${']'.repeat(1_000)}}`],
    ['EVENT_ID_INVALID', JSON.stringify(edited(anEvent({}), ['data', 'id'], 'secret!'))],
    ['EVENT_NAME_INVALID', JSON.stringify(edited(anEvent({}), ['data', 'attributes', 'name'], null))],
    ['PAYLOAD_INVALID', JSON.stringify(anEvent({ data: anObject('', 'secret') }))],
    ['CREATED_AT_MISSING', JSON.stringify(edited(anEvent({}), ['data', 'attributes', 'created-at'], null))],
    ['CREATED_AT_INVALID', JSON.stringify(anEvent({ createdAt: 'secret' }))],
    ['CREATED_AT_OUT_OF_RANGE', JSON.stringify(anEvent({ createdAt: '2014-01-01T00:00:00Z' }))],
  ] as const
  for (const [reason, body] of bodies) {
    const error = t.throws(() => readText(body), UnusableEventError, reason) as UnusableEventError
    t.equal(error.reason, reason)
    t.notMatch(`${error.message}${error.stack}`, /secret/)
  }
})

t.test('the bytes are kept exactly where the stored text does not say all that they said', async (t) => {
  const text = JSON.stringify(anEvent({ data: { ...INQUIRY, attributes: { note: 'HERE' } } }))
  const keptOf = (body: Buffer) => {
    const event = readBody(body)
    t.ok(event.originalBytes === null || event.originalBytes === body)
    return event.originalBytes !== null
  }
  const withNote = (json: string) => Buffer.from(text.replace('"HERE"', json))
  for (const json of ['"Zoë 花子 😀"', '"\\ud83d\\ude00"', '"\\\\u0000"', '1.10', '12345678901234567890', '[ 1 ]'])
    t.equal(keptOf(withNote(json)), false, json)
  for (const json of ['"\\u0000"', '"\\ud800"', '1e2', '-0', '-0.0', '{"a":1,"a":1}', '{"\\udfff":1}'])
    t.equal(keptOf(withNote(json)), true, json)
  t.equal(keptOf(Buffer.concat([Buffer.from('\ufeff'), withNote('1')])), true, 'a byte order mark')
  const notUtf8 = withNote('"X"')
  notUtf8[notUtf8.indexOf('X')] = 0xff
  t.equal(keptOf(notUtf8), true, 'invalid UTF-8')
  t.match(plain(readBody(notUtf8).primary.snapshot), { attributes: { note: '\ufffd' } })
})

t.test(
  'a byte order mark and what PostgreSQL refuses stand neither in the stored text nor in the values',
  async (t) => {
    const text = JSON.stringify(
      anEvent({
        name: 'inquiry.x\u0000',
        data: anObject('inquiry', 'inq_\u0000', {
          'no\ud800te': 'a\u0000b',
          'reference-id': '\udc00',
          tags: ['\u0000'],
        }),
      }),
    )
    const event = readText(`\ufeff${text}`)
    t.notMatch(event.payloadText, /\ufeff|\\u0000|\\ud800|\\udc00/)
    t.equal(event.name, 'inquiry.x\ufffd')
    t.equal(event.primary.id, 'inq_\ufffd')
    t.match(flat(event.primary.snapshot), {
      attributes: { 'no\ufffdte': 'a\ufffdb' },
      reference_id: '\ufffd',
      tags: ['\ufffd'],
    })
  },
)

t.test('the same object twice counts once: payload.data, then the first in included', async (t) => {
  const event = read(
    anEvent({
      data: anObject('inquiry', 'inq_1', { status: 'approved' }),
      included: [
        anObject('inquiry', 'inq_1', { status: 'pending' }),
        anObject('account', 'act_1', { n: 1 }),
        anObject('account', 'act_1', { n: 2 }),
        anObject('case', 'act_1', { n: 3 }),
      ],
    }),
  )
  t.equal(event.primary.status, 'approved')
  t.strictSame(
    event.included.map(({ id, snapshot }) => [id, snapshot.type, plain(snapshot.attributes)]),
    [['act_1', 'account', { n: 1 }]],
  )
})

t.test('what stands in included without an id is passed over', async (t) => {
  const values: Json = [null, 5, 'x', [], {}, { type: 'case' }, anObject('case', ''), anObject('case', 5)]
  const event = read(anEvent({ included: [...(values as Json[]), anObject('case', 'case_1')] }))
  t.strictSame(
    event.included.map((object) => object.id),
    ['case_1'],
  )
  for (const included of [null, {}, 'x', 5]) t.strictSame(read(anEvent({ included })).included, [])
})

t.test('an object claims the inquiry that its own relationship names, under any name', async (t) => {
  const event = read(
    anEvent({
      name: 'verification.passed',
      data: anObject('verification/selfie', 'ver_1', {}, { inquiry: relation(['inquiry', 'inq_1']) }),
      included: [
        anObject('report/x', 'rep_1', {}, { parents: relation(['inquiry', 'inq_2'], ['inquiry', 'inq_3']) }),
        anObject('account', 'act_1', {}, { inquiries: relation(['inquiry', 'inq_1']) }),
        anObject('inquiry-session', 'iqse_1', {}, { inquiry: relation(['inquiry-template', 'itmpl_1']) }),
      ],
    }),
  )
  t.strictSame(claimsOf(event), ['rep_1 says inq_2', 'rep_1 says inq_3', 'ver_1 says inq_1'])
  t.equal(event.inquiryId, 'inq_1')
})

t.test('an inquiry claims what its relationships name, also where it stands in included', async (t) => {
  const inquiry = anObject(
    'inquiry',
    'inq_1',
    {},
    {
      verifications: relation(['verification/basic', 'ver_1'], ['verification', 'ver_2']),
      account: relation(['account', 'act_1']),
      sessions: relation(['inquiry-session', 'iqse_1'], ['session', 'ses_1']),
      documents: relation(['document/generic', 'doc_1']),
      selfies: relation(['selfie', 'self_1']),
      others: relation(['report/x', 'rep_1'], ['case', 'case_1']),
    },
  )
  const expected = ['doc_1', 'iqse_1', 'rep_1', 'self_1', 'ses_1', 'ver_1', 'ver_2']
  t.strictSame(
    claimsOf(read(anEvent({ data: inquiry }))),
    expected.map((id) => `${id} is said by inq_1`),
  )
  const included = read(anEvent({ name: 'case.created', data: anObject('case', 'case_2'), included: [inquiry] }))
  t.strictSame(
    claimsOf(included),
    expected.map((id) => `${id} is said by inq_1`),
  )
  t.equal(included.inquiryId, null)
})

t.test('an inquiry claims what stands in included of an event about it, and in no other event', async (t) => {
  const included = [
    anObject('verification/selfie', 'ver_1'),
    anObject('account', 'act_1'),
    anObject('inquiry', 'inq_2'),
    anObject('document/generic', 'doc_1'),
  ]
  t.strictSame(claimsOf(read(anEvent({ data: INQUIRY, included }))), [
    'doc_1 stands beside inq_1',
    'ver_1 stands beside inq_1',
  ])
  t.strictSame(claimsOf(read(anEvent({ data: anObject('account', 'act_2'), included }))), [])
})

t.test('a reference that names another type than the object has is judged by the object', async (t) => {
  const event = read(
    anEvent({
      data: anObject('inquiry', 'inq_1', {}, { a: relation(['verification/basic', 'x_1'], ['account', 'x_2']) }),
      included: [anObject('account', 'x_1'), anObject('verification/database', 'x_2')],
    }),
  )
  t.strictSame(claimsOf(event), ['x_2 is said by inq_1', 'x_2 stands beside inq_1'])
  t.strictSame(event.references, [])
})

t.test('the inquiry of an event is its own, else that of its strongest claim, then the greater id', async (t) => {
  const inquiryIdOf = (data: Json, included: Json = []) => read(anEvent({ data, included })).inquiryId
  const said = (id: string) => anObject('inquiry', id, {}, { v: relation(['verification', 'ver_1']) })
  const says = (...ids: readonly string[]) =>
    anObject('verification', 'ver_1', {}, { i: relation(...ids.map((id) => ['inquiry', id] as const)) })
  t.equal(inquiryIdOf(INQUIRY), 'inq_1')
  t.equal(inquiryIdOf(anObject('inquiry', 'inq_1', {}, { parent: relation(['inquiry', 'inq_9']) })), 'inq_1')
  t.equal(inquiryIdOf(anObject('verification', 'ver_1'), [said('inq_1'), said('inq_2')]), 'inq_2')
  t.equal(inquiryIdOf(says('inq_1'), [said('inq_2')]), 'inq_1')
  t.equal(inquiryIdOf(says('inq_b', 'inq_c', 'inq_a')), 'inq_c')
  t.equal(inquiryIdOf(anObject('verification', 'ver_1'), [INQUIRY]), null)
  t.equal(inquiryIdOf(anObject('account', 'act_1', {}, { i: relation(['inquiry', 'inq_1']) })), null)
})

t.test('objects that are only named are references, of disagreeing types in one event the greatest', async (t) => {
  const identifiers = [
    ['verification/basic', 'ver_1'],
    ['verification/database', 'ver_1'],
    ['account', 'ver_1'],
    ['inquiry', 'inq_9'],
  ] as const
  for (const order of [identifiers, identifiers.toReversed()]) {
    const event = read(anEvent({ data: anObject('case', 'case_1', {}, { a: relation(...order) }) }))
    t.strictSame(referencesOf(event), ['inquiry inq_9', 'verification/database ver_1'])
  }
  const apart = read(
    anEvent({
      data: anObject('case', 'case_1', {}, { a: relation(['a', 'x_1']), self: relation(['case', 'case_1']) }),
      included: [anObject('account', 'act_1', {}, { b: relation(['b', 'x_1']), c: relation(['case', 'case_1']) })],
    }),
  )
  t.strictSame(referencesOf(apart), ['b x_1'])
})

t.test('a redaction is told by any snapshot of an inquiry, or by inquiry.redacted about it', async (t) => {
  const redacted = { 'redacted-at': '2026-01-01T00:00:00Z' }
  const told = (name: string, data: Json, included: Json = []) =>
    read(anEvent({ name, data, included })).redactedInquiryIds.toSorted()
  t.strictSame(told('inquiry.updated-tags', anObject('inquiry', 'inq_1', redacted)), ['inq_1'])
  t.strictSame(told('inquiry.redacted', anObject('inquiry', 'inq_1', redacted)), ['inq_1'])
  t.strictSame(told('inquiry.redacted', anObject('inquiry', 'inq_1')), ['inq_1'])
  t.strictSame(told('case.updated', anObject('case', 'c'), [anObject('inquiry', 'inq_2', redacted)]), ['inq_2'])
  t.strictSame(
    told('inquiry.redacted', anObject('inquiry', 'inq_1'), [
      anObject('inquiry', 'inq_2', redacted),
      anObject('inquiry', 'inq_3'),
      anObject('inquiry', 'inq_1', redacted),
    ]),
    ['inq_1', 'inq_2'],
  )
  t.strictSame(told('inquiry.redacted', anObject('verification', 'ver_1')), [], 'not about an inquiry')
  t.strictSame(told('account.redacted', anObject('account', 'act_1', redacted)), [])
  t.strictSame(told('verification.passed', anObject('verification', 'ver_1', redacted)), [])
  t.strictSame(told('inquiry.approved', anObject('inquiry', 'inq_1', { 'redacted-at': null })), [])
  t.strictSame(read(anEvent({ extra: { 'redacted-at': '2026-01-01T00:00:00Z' } })).redactedIds, [], 'the event')
})

t.test('any redacted-at but null tells a redaction, be it no time at all', async (t) => {
  const redactedIds = (value: Json) =>
    read(anEvent({ data: anObject('inquiry', 'inq_1', { 'redacted-at': value }) })).redactedIds
  for (const value of ['2026-01-01T00:00:00Z', 'yesterday', '', 0, 1, false, {}, []])
    t.strictSame(redactedIds(value), ['inq_1'], JSON.stringify(value))
  t.strictSame(redactedIds(null), [])
})

t.test('accounts, transactions and cases are redacted likewise, and nothing else is', async (t) => {
  const redacted = { 'redacted-at': '2026-01-01T00:00:00Z' }
  for (const type of ['account', 'transaction', 'case']) {
    const told = [
      anEvent({ name: `${type}.updated-fields`, data: anObject(type, 'x_1', redacted) }),
      anEvent({ name: `${type}.redacted`, data: anObject(type, 'x_1') }),
      anEvent({ data: anObject('inquiry', 'inq_1'), included: [anObject(type, 'x_1', redacted)] }),
    ].map(read)
    for (const event of told) {
      t.strictSame(event.redactedIds, ['x_1'], event.name)
      t.strictSame(event.redactedInquiryIds, [])
    }
    t.strictSame(read(anEvent({ name: `${type}.redacted`, data: anObject('report/x', 'x_1') })).redactedIds, [])
  }
  for (const type of [
    'verification/selfie',
    'report/x',
    'document/generic',
    'selfie',
    'account-type',
    'case-comment',
  ]) {
    const event = read(anEvent({ name: `${type}.redacted`, data: anObject(type, 'x_1', redacted) }))
    t.strictSame(event.redactedIds, [], type)
  }
})

t.test('a body of Node buffers cut from a pool is read where it lies', async (t) => {
  const body = bodyOf(anEvent({}))
  const pool = new Uint8Array(body.length + 20).fill(0x7b)
  pool.set(body, 10)
  t.equal(readBody(pool.subarray(10, 10 + body.length)).id, 'evt_TestAaaa0001')
})
