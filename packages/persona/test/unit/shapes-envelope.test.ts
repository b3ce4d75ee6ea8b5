import t from 'tap'
import { UnusableEventError } from '../../src/event.ts'
import type { Json } from '../model/event-document.ts'
import { anEvent, anObject, edited, plain, read, readBody, relation, told } from '../model/event-document.ts'
import { fixture } from '../model/fixture.ts'
import { recased } from '../model/recase.ts'

/** Shapes of whole events seen in public bodies, each with what the rows would be told. */

const INQUIRY = 'inq_TestAaaaBbbbCcccDdddEeee0001'

t.test('an approved inquiry with its verifications is told whole', async (t) => {
  const event = readBody(fixture('inquiry-approved.json'))
  t.match(event, { name: 'inquiry.approved', inquiryId: INQUIRY, casing: 'kebab', originalBytes: null })
  const inquiry = told(event, INQUIRY)
  t.match(inquiry, { type: 'inquiry', status: 'approved' })
  t.match(inquiry?.snapshot, {
    reference_id: 'tenant-7::user-42',
    account_id: 'act_Test0001',
    template_id: 'itmpl_Test0001',
    template_version_id: null,
    tags: ['CAMPAIGN'],
    decisioned_at: Date.parse('2026-02-03T10:06:21Z'),
    failed_at: null,
    redacted_at: null,
    fields: { 'contactWays-2': { type: 'multi_choices', value: ['email'] } },
  })
  t.strictSame(inquiry?.attributes, {
    note: null,
    behaviors: { bot_score: 12, completion_time: 40.1724639031, devtools_open: false, hesitation_percentage: null },
    creator: 'API',
    reviewer_comment: null,
    expires_at: null,
    previous_step_name: 'selfie_ab12_verification',
    next_step_name: 'success_34',
    signals: [],
  })
  t.match(told(event, 'ver_Test0001'), {
    status: 'passed',
    inquiryId: INQUIRY,
    snapshot: { country_code: 'JP', checks: [{ name: 'id_expired_detection' }] },
  })
  t.match(told(event, 'ver_Test0002'), { status: 'failed', inquiryId: INQUIRY, snapshot: { country_code: null } })
  for (const id of ['act_Test0001', 'itmpl_Test0001', 'wfr_Test0001'])
    t.match(told(event, id), { isReferenceOnly: true, inquiryId: null }, id)
  t.equal(told(event, 'doc_Test0001'), null, 'what stands below fields is no reference')
})

t.test('the smallest body a strict blocklist may send is told by its name', async (t) => {
  const event = readBody(fixture('inquiry-approved-smallest.json'))
  t.match(told(event, 'inq_TestAaaa'), { type: 'inquiry', status: 'approved', attributes: {}, relationships: {} })
})

t.test('the same event in three casings tells the same of every object', async (t) => {
  const document = JSON.parse(fixture('inquiry-approved.json').toString()) as Json
  const kebab = read(document)
  for (const casing of ['camel', 'snake'] as const) {
    const event = read(recased(document, casing))
    t.equal(event.casing, casing)
    t.strictSame(plain(event.primary), plain(kebab.primary), casing)
    t.strictSame(plain(event.included), plain(kebab.included), casing)
    t.same(event.references, kebab.references, casing)
    t.same(event.claims, kebab.claims, casing)
  }
})

t.test('a camelCase body with snake_case leaves is told in snake_case', async (t) => {
  const fields = { street_1: { type: 'string', value: 'x' }, postalCode: null, 'home-town': null }
  const account = anObject('account', 'act_1', {
    fields,
    addressStreet1: 'y',
    street_1: 'z',
    postal_code: null,
    nameFirst: '',
  })
  const document = recased(anEvent({ data: anObject('inquiry', 'inq_1'), included: [account] }), 'camel')
  t.strictSame(told(read(document), 'act_1')?.attributes, {
    fields,
    address_street_1: 'y',
    street_1: 'z',
    postal_code: null,
    name_first: '',
  })
})

t.test('an event without created-at is unusable', async (t) => {
  const document = edited(anEvent({}), ['data', 'attributes', 'created-at'], undefined)
  const error = t.throws(() => read(document), UnusableEventError) as UnusableEventError
  t.equal(error.reason, 'CREATED_AT_MISSING')
})

t.test('an event with an unknown name and an unknown type is told as a resource', async (t) => {
  const data = anObject('thing-of-tomorrow/x', 'tng_1', { status: 'glowing', 'some-key': 1 })
  const event = read(anEvent({ name: 'thing-of-tomorrow/x.glowed', data }))
  t.match(event.clock, { rank: 0 })
  t.match(told(event, 'tng_1'), {
    type: 'thing-of-tomorrow/x',
    status: 'glowing',
    inquiryId: null,
    attributes: { some_key: 1 },
    snapshot: { family: 'resource' },
  })
})

t.test('a name and a payload of different kinds are each taken at their word', async (t) => {
  const event = read(anEvent({ name: 'verification.passed', data: anObject('inquiry', 'inq_1', {}) }))
  t.match(event, { inquiryId: 'inq_1', clock: { rank: 4 } })
  t.match(told(event, 'inq_1'), { status: null, snapshot: { family: 'inquiry' } }, 'the name tells no status of it')
  const declined = read(
    anEvent({ name: 'inquiry.approved', data: anObject('inquiry', 'inq_1', { status: 'declined' }) }),
  )
  t.equal(told(declined, 'inq_1')?.status, 'declined')
})

t.test('any object may stand in payload.data', async (t) => {
  const inquiry = { inquiry: relation(['inquiry', 'inq_1']) }
  const objects = [
    ['verification.submitted', 'verification/document', 'verification', 'inq_1'],
    ['report/watchlist.matched', 'report/watchlist', 'resource', 'inq_1'],
    ['document.processed', 'document/government-id', 'resource', 'inq_1'],
    ['selfie.processed', 'selfie/profile-and-center', 'resource', 'inq_1'],
    ['inquiry-session.started', 'inquiry-session', 'resource', 'inq_1'],
    ['case.resolved', 'case', 'resource', null],
    ['account.created', 'account', 'resource', null],
    ['transaction.created', 'transaction', 'resource', null],
  ] as const
  for (const [name, type, family, inquiryId] of objects) {
    const event = read(anEvent({ name, data: anObject(type, 'x_1', { status: 'some status' }, inquiry) }))
    t.equal(event.inquiryId, inquiryId, type)
    t.match(told(event, 'x_1'), { type, status: 'some status', inquiryId, snapshot: { family } }, type)
    t.match(told(event, 'inq_1'), { type: 'inquiry', isReferenceOnly: true }, type)
  }
})

t.test('an event whose own redacted-at, context or other members are odd is told alike', async (t) => {
  const data = anObject('inquiry', 'inq_1', { status: 'approved' })
  const expected = plain(read(anEvent({ data })).primary)
  for (const extra of [
    { 'redacted-at': null, context: {} },
    { context: { 'previous-step-name': 'x', 'next-step-name': 'y' } },
    { context: null },
    { 'redacted-at': '2026-02-03T10:00:00Z' },
  ]) {
    const event = read(anEvent({ data, extra }))
    t.strictSame(plain(event.primary), expected)
    t.strictSame(event.redactedInquiryIds, [])
  }
})

t.test('the order of members tells nothing', async (t) => {
  const { data } = anEvent({ data: anObject('inquiry', 'inq_1', { status: 'pending' }) }) as {
    data: { [key: string]: Json }
  }
  const attributes = Object.entries(data['attributes'] as { [key: string]: Json }).toReversed()
  const reversed = {
    data: Object.fromEntries(Object.entries({ ...data, attributes: Object.fromEntries(attributes) }).toReversed()),
  }
  t.not(JSON.stringify(reversed), JSON.stringify({ data }))
  t.strictSame(plain(read(reversed).primary), plain(read({ data }).primary))
})
