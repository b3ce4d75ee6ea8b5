import t from 'tap'
import { aDatabase } from '../fixtures/a-database.ts'
import { linesOf, verified } from '../fixtures/rebuilt.ts'
import { anObject, related } from '../fixtures/an-event.ts'
import { partOf } from '../fixtures/part-of.ts'

const database = await aDatabase(t)
const { sql, row, store } = database
t.beforeEach(() => database.empty())

const at = (second: number) => `2026-02-03T10:00:0${second}Z`
const ofInquiry = (id: string) => ({ relationships: { inquiry: related(['inquiry', id]) } })
const inquiryIdOf = async (id: string) =>
  (await row('SELECT inquiry_id FROM verifications WHERE id = $1', [id]))['inquiry_id']

t.test('what is known by reference only has an empty row in the table of its type', async (t) => {
  const relationships = {
    account: related(['account', 'act_1']),
    verifications: related(['verification/selfie', 'ver_1'], ['verification/database', 'ver_2']),
    reports: related(['report/watchlist', 'rep_1']),
    sessions: related(['inquiry-session', 'iqse_1']),
    parent: related(['inquiry', 'inq_0']),
  }
  await store({ data: anObject('inquiry', 'inq_1', { relationships }) })
  const none = { event_id: null, event_name: null, event_created_at: null, event_rank: null, status: null }
  const inquiry = {
    ...none, environment: 'production', reference_id: null, tags: [], fields: {}, attributes: {}, relationships: {},
    created_at: null,
  } // prettier-ignore
  t.strictSame(partOf(await row(`SELECT * FROM inquiries WHERE id = 'inq_0'`), inquiry), inquiry)
  const verification = {
    ...none, environment: 'production', type: 'verification/selfie', inquiry_id: 'inq_1', country_code: null, checks: [],
    attributes: {}, relationships: {}, created_at: null,
  } // prettier-ignore
  t.strictSame(partOf(await row(`SELECT * FROM verifications WHERE id = 'ver_1'`), verification), verification)
  const report = {
    ...none, environment: 'production', type: 'report/watchlist', inquiry_id: 'inq_1', attributes: {}, relationships: {},
  } // prettier-ignore
  t.strictSame(partOf(await row(`SELECT * FROM resources WHERE id = 'rep_1'`), report), report)
  t.strictSame(await sql('SELECT id, inquiry_id FROM resources ORDER BY id'), [
    { id: 'act_1', inquiry_id: null },
    { id: 'iqse_1', inquiry_id: 'inq_1' },
    { id: 'rep_1', inquiry_id: 'inq_1' },
  ])
  t.strictSame(await sql('SELECT id FROM verifications ORDER BY id'), [{ id: 'ver_1' }, { id: 'ver_2' }])
})

t.test('a snapshot ends what references said, also one that is older', async (t) => {
  const relationships = { x: related(['report/late-word', 'obj_1']) }
  await store({ id: 'evt_2', createdAt: at(2), data: anObject('inquiry', 'inq_1', { relationships }) })
  t.strictSame(await sql('SELECT type FROM resources'), [{ type: 'report/late-word' }])
  await store({ id: 'evt_1', createdAt: at(1), data: anObject('verification/selfie', 'obj_1') })
  t.strictSame(await sql('SELECT id FROM resources'), [])
  const expected = { type: 'verification/selfie', event_id: 'evt_1', inquiry_id: 'inq_1' }
  t.strictSame(partOf(await row('SELECT * FROM verifications'), expected), expected)
  await store({ id: 'evt_3', createdAt: at(3), data: anObject('inquiry', 'inq_1', { relationships }) })
  t.strictSame(
    partOf(await row('SELECT * FROM verifications'), expected),
    expected,
    'a newer reference changes nothing',
  )
})

t.test('where references disagree on the type, the newest counts', async (t) => {
  const naming = (type: string) => anObject('inquiry', 'inq_1', { relationships: { x: related([type, 'obj_1']) } })
  await store({ id: 'evt_2', createdAt: at(2), data: naming('verification/selfie') })
  await store({ id: 'evt_1', createdAt: at(1), data: naming('report/x') })
  t.strictSame(await sql('SELECT type, inquiry_id FROM verifications'), [
    { type: 'verification/selfie', inquiry_id: 'inq_1' },
  ])
  await store({ id: 'evt_3', createdAt: at(3), data: naming('account') })
  t.strictSame(await sql('SELECT id FROM verifications'), [])
  t.strictSame(await sql('SELECT type, inquiry_id FROM resources'), [{ type: 'account', inquiry_id: null }])
})

t.test('an inquiry is learned later, from any of the three words', async (t) => {
  for (const id of ['ver_1', 'ver_2', 'ver_3'])
    await store({ id: `evt_${id}`, name: 'verification.created', data: anObject('verification/selfie', id) })
  t.strictSame(await sql('SELECT DISTINCT inquiry_id FROM verifications'), [{ inquiry_id: null }])
  const relationships = { verifications: related(['verification/selfie', 'ver_1']) }
  await store({
    id: 'evt_inquiry',
    createdAt: at(1),
    data: anObject('inquiry', 'inq_1', { relationships }),
    included: [anObject('verification/selfie', 'ver_2')],
  })
  await store({ id: 'evt_own', createdAt: at(2), data: anObject('verification/selfie', 'ver_3', ofInquiry('inq_1')) })
  t.strictSame(await sql('SELECT DISTINCT inquiry_id FROM verifications'), [{ inquiry_id: 'inq_1' }])
  const told = await sql(`SELECT id, inquiry_id FROM events WHERE resource_type <> 'inquiry' ORDER BY id`)
  t.strictSame(told, [
    { id: 'evt_own', inquiry_id: 'inq_1' },
    { id: 'evt_ver_1', inquiry_id: null },
    { id: 'evt_ver_2', inquiry_id: null },
    { id: 'evt_ver_3', inquiry_id: null },
  ]) // the log holds what each event told itself
})

t.test("a stale event's word on the inquiry counts", async (t) => {
  await store({ id: 'evt_2', createdAt: at(2), data: anObject('verification/selfie', 'ver_1') })
  const outcomes = await store({
    id: 'evt_1',
    createdAt: at(1),
    data: anObject('verification/selfie', 'ver_1', ofInquiry('inq_1')),
  })
  t.equal(outcomes.get('evt_1'), 'stale')
  t.equal(await inquiryIdOf('ver_1'), 'inq_1')
})

t.test('of two inquiries that claim one object the newest by the clock counts', async (t) => {
  const claiming = (id: string) =>
    anObject('inquiry', id, { relationships: { verifications: related(['verification/selfie', 'ver_1']) } })
  await store({ id: 'evt_2', createdAt: at(2), data: claiming('inq_A') })
  await store({ id: 'evt_1', createdAt: at(1), data: claiming('inq_Z') })
  t.equal(await inquiryIdOf('ver_1'), 'inq_A')
  await store({ id: 'evt_3', createdAt: at(3), data: claiming('inq_B') })
  t.equal(await inquiryIdOf('ver_1'), 'inq_B')
})

t.test("within one event: the object's own word, then the inquiry's, then included, then the greater id", async (t) => {
  const own = anObject('verification/selfie', 'ver_own', ofInquiry('inq_A'))
  const named = anObject('verification/selfie', 'ver_named')
  const both = anObject('verification/selfie', 'ver_both', {
    relationships: { a: related(['inquiry', 'inq_X']), b: related(['inquiry', 'inq_Y']) },
  })
  const naming = anObject('inquiry', 'inq_B', {
    relationships: { verifications: related(['verification/selfie', 'ver_own'], ['verification/selfie', 'ver_named']) },
  })
  await store({ data: anObject('inquiry', 'inq_Z'), included: [own, named, both, naming] })
  t.equal(await inquiryIdOf('ver_own'), 'inq_A')
  t.equal(await inquiryIdOf('ver_named'), 'inq_B')
  t.equal(await inquiryIdOf('ver_both'), 'inq_Y')
})

t.test('included objects of an event about no inquiry are not claimed', async (t) => {
  const included = [anObject('verification/selfie', 'ver_1'), anObject('inquiry', 'inq_1')]
  await store({ name: 'account.created', data: anObject('account', 'act_1'), included })
  t.equal(await inquiryIdOf('ver_1'), null)
})

t.test('an object that changes its family moves with its status and its inquiry', async (t) => {
  const report = anObject('report/x', 'obj_1', { attributes: { status: 'ready', note: 'r' }, ...ofInquiry('inq_1') })
  await store({ id: 'evt_1', createdAt: at(1), data: report })
  await store({ id: 'evt_2', createdAt: at(2), data: anObject('verification/selfie', 'obj_1') })
  t.strictSame(await sql('SELECT id FROM resources'), [])
  const expected = {
    status: 'ready', inquiry_id: 'inq_1', attributes: {}, checks: [], event_id: 'evt_2', type: 'verification/selfie',
  } // prettier-ignore
  t.strictSame(partOf(await row('SELECT * FROM verifications'), expected), expected)
  const outcomes = await store({ id: 'evt_0', createdAt: at(0), data: anObject('inquiry', 'obj_1') })
  t.equal(outcomes.get('evt_0'), 'stale')
  t.strictSame(await sql(`SELECT id FROM inquiries WHERE id = 'obj_1'`), [])
})

t.test('an object that is told as another kind in between keeps its claim', async (t) => {
  const claimed = anObject('verification/selfie', 'odd_1', {
    relationships: { inquiry: related(['inquiry', 'inq_9']) },
  })
  const events = [
    { id: 'evt_1', createdAt: at(1), name: 'verification.created', data: claimed },
    { id: 'evt_2', createdAt: at(2), name: 'inquiry.created', data: anObject('inquiry', 'odd_1') },
    { id: 'evt_3', createdAt: at(3), name: 'report.ready', data: anObject('report/profile', 'odd_1') },
    { id: 'evt_4', createdAt: at(4), name: 'inquiry.started', data: anObject('inquiry', 'odd_1') },
    { id: 'evt_5', createdAt: at(5), name: 'verification.passed', data: anObject('verification/selfie', 'odd_1') },
  ]
  for (const order of [events, events.toReversed(), [...events.slice(3), ...events.slice(0, 3)]]) {
    await database.empty()
    for (const event of order) await store(event)
    t.strictSame(await sql('SELECT inquiry_id, claim_event_id FROM verifications'), [
      { inquiry_id: 'inq_9', claim_event_id: 'evt_1' },
    ])
    t.strictSame(linesOf(await verified(database.url)), [])
  }
})
