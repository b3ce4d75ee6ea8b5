import t from 'tap'
import { anEvent, anObject, read, relation, told } from '../model/event-document.ts'

/** Shapes of `relationships` and `included` seen in public bodies, each with what the rows would be told. */

const NO_RELATIONS = { account_id: null, template_id: null, template_version_id: null, relationships: {} }

t.test('relationships that are missing, null or empty tell none', async (t) => {
  for (const relationships of [undefined, null, {}]) {
    const event = read(anEvent({ data: anObject('inquiry', 'inq_1', {}, relationships) }))
    t.match(told(event, 'inq_1'), { relationships: {}, snapshot: NO_RELATIONS })
    t.strictSame(event.references, [])
    t.strictSame(event.claims, [])
  }
})

t.test('a relation without data, with empty data or with null names nothing', async (t) => {
  const relations = { account: {}, template: { data: {} }, 'inquiry-template': { data: null }, reports: { data: [] } }
  const event = read(anEvent({ data: anObject('inquiry', 'inq_1', {}, relations) }))
  t.strictSame(told(event, 'inq_1')?.relationships, {
    account: null,
    template: {},
    inquiry_template: null,
    reports: [],
  })
  t.match(told(event, 'inq_1')?.snapshot, { account_id: null, template_id: null })
  t.strictSame(event.references, [])
})

t.test('an event without included, or with an empty one, leaves what it names as references', async (t) => {
  const relationships = {
    account: relation(['account', 'act_1']),
    verifications: relation(['verification/selfie', 'ver_1']),
  }
  for (const included of [undefined, []]) {
    const event = read(
      anEvent({ data: anObject('inquiry', 'inq_1', {}, relationships), ...(included && { included }) }),
    )
    t.match(told(event, 'act_1'), { type: 'account', status: null, inquiryId: null, isReferenceOnly: true })
    t.match(told(event, 'ver_1'), { type: 'verification/selfie', inquiryId: 'inq_1', isReferenceOnly: true })
  }
})

t.test('an included object that no relationship mentions is told all the same', async (t) => {
  const included = [anObject('verification/selfie', 'ver_9', { status: 'passed' }), anObject('account', 'act_9')]
  const event = read(anEvent({ data: anObject('inquiry', 'inq_1'), included }))
  t.match(told(event, 'ver_9'), { status: 'passed', inquiryId: 'inq_1', isReferenceOnly: false })
  t.match(told(event, 'act_9'), { inquiryId: null, isReferenceOnly: false })
})

t.test('of duplicates in included the first counts, and never the one of payload.data', async (t) => {
  const data = anObject('inquiry', 'inq_1', { status: 'approved', note: 'primary' })
  const included = [
    anObject('verification/selfie', 'ver_1', { status: 'passed', n: 1 }),
    anObject('inquiry', 'inq_1', { status: 'pending', note: 'included' }),
    anObject('verification/selfie', 'ver_1', { status: 'failed', n: 2 }),
  ]
  const event = read(anEvent({ data, included }))
  t.match(told(event, 'ver_1'), { status: 'passed', attributes: { n: 1 } })
  t.match(told(event, 'inq_1'), { status: 'approved', attributes: { note: 'primary' } })
})

t.test('a relation of another type than the included object joins it by id', async (t) => {
  const relationships = { verifications: relation(['verification/basic', 'ver_1']) }
  const included = [anObject('verification/database', 'ver_1', { status: 'passed' })]
  const event = read(anEvent({ data: anObject('inquiry', 'inq_1', {}, relationships), included }))
  t.match(told(event, 'ver_1'), { type: 'verification/database', status: 'passed', inquiryId: 'inq_1' })
  t.strictSame(event.references, [])
  const [claim] = event.claims.toSorted((left, right) => right.strength - left.strength)
  t.match(claim, { strength: 2 }, 'the relation counts as one')
})

t.test('an included session whose attributes are all null is told with its nulls', async (t) => {
  const attributes = { 'ip-address': null, 'user-agent': null, 'gps-latitude': null, 'started-at': null, status: null }
  const event = read(
    anEvent({ data: anObject('inquiry', 'inq_1'), included: [anObject('inquiry-session', 'iqse_1', attributes)] }),
  )
  t.match(told(event, 'iqse_1'), { type: 'inquiry-session', status: null, inquiryId: 'inq_1', isReferenceOnly: false })
  t.strictSame(told(event, 'iqse_1')?.attributes, {
    ip_address: null,
    user_agent: null,
    gps_latitude: null,
    started_at: null,
  })
})

t.test('an included verification with an empty id is passed over, its neighbours are not', async (t) => {
  const included = [anObject('verification/government-id', '', { status: 'passed' }), anObject('account', 'act_1')]
  const event = read(anEvent({ data: anObject('inquiry', 'inq_1'), included }))
  t.strictSame(
    event.included.map((object) => object.id),
    ['act_1'],
  )
  t.equal(told(event, ''), null)
})

t.test('relations under the plural name of a verification are kept by their own name', async (t) => {
  const relationships = {
    accounts: relation(['account', 'act_1'], ['account', 'act_2']),
    inquiry: relation(['inquiry', 'inq_1']),
  }
  const event = read(
    anEvent({ name: 'verification.passed', data: anObject('verification/selfie', 'ver_1', {}, relationships) }),
  )
  t.match(told(event, 'ver_1'), { status: 'passed', inquiryId: 'inq_1' })
  t.strictSame(Object.keys(told(event, 'ver_1')?.relationships as object).toSorted(), ['accounts', 'inquiry'])
  t.match(told(event, 'act_2'), { type: 'account', isReferenceOnly: true })
  t.match(told(event, 'inq_1'), { type: 'inquiry', isReferenceOnly: true })
})

t.test('a legacy template is the template, of whatever prefix', async (t) => {
  const legacy = { template: relation(['template', 'blu_1']), 'inquiry-template': { data: null } }
  t.match(told(read(anEvent({ data: anObject('inquiry', 'inq_1', {}, legacy) })), 'inq_1')?.snapshot, {
    template_id: 'blu_1',
    template_version_id: null,
  })
  const both = { ...legacy, 'inquiry-template': relation(['inquiry-template', 'itmpl_1']) }
  const event = read(anEvent({ data: anObject('inquiry', 'inq_1', {}, both) }))
  t.match(told(event, 'inq_1')?.snapshot, { template_id: 'itmpl_1' })
  t.match(told(event, 'blu_1'), { type: 'template', isReferenceOnly: true })
})

t.test('a reviewer may be a workflow run', async (t) => {
  const event = read(
    anEvent({ data: anObject('inquiry', 'inq_1', {}, { reviewer: relation(['workflow-run', 'wfr_1']) }) }),
  )
  t.match(told(event, 'wfr_1'), { type: 'workflow-run', inquiryId: null, isReferenceOnly: true })
})

t.test('a legacy verification of a national type is a verification', async (t) => {
  for (const type of ['verification/driver-license', 'verification/passport', 'verification/national-identity-card']) {
    const event = read(anEvent({ data: anObject('inquiry', 'inq_1'), included: [anObject(type, 'ver_1')] }))
    t.match(told(event, 'ver_1'), { type, inquiryId: 'inq_1', snapshot: { family: 'verification' } })
  }
})
