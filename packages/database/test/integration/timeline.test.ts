import t from 'tap'
import { aDatabase, RECEIVED_AT_MS } from '../fixtures/a-database.ts'
import { anEvent, anObject, bodyOf, related, type EventParts } from '../fixtures/an-event.ts'

const database = await aDatabase(t)
const { sql, deliver } = database
t.beforeEach(() => database.empty())

const at = (second: number) => `2026-02-03T10:00:0${second}Z`
const receive = (parts: EventParts, afterMs: number) =>
  deliver({ body: bodyOf(anEvent(parts)), receivedAtMs: RECEIVED_AT_MS + afterMs })
const timeline = (columns: string, inquiryId = 'inq_1') =>
  sql(`SELECT ${columns} FROM inquiry_timeline WHERE inquiry_id = $1 ORDER BY event_created_at, event_id`, [inquiryId])

t.test("an inquiry's events with what each tells", async (t) => {
  const approved = anObject('inquiry', 'inq_1', { attributes: { status: 'approved' } })
  await receive({ id: 'evt_1', createdAt: at(1), name: 'inquiry.created' }, 0)
  await receive({ id: 'evt_2', createdAt: at(2), name: 'inquiry.updated-tags' }, 1)
  const verification = anObject('verification/selfie', 'ver_1', {
    attributes: { status: 'passed' },
    relationships: { inquiry: related(['inquiry', 'inq_1']) },
  })
  await receive({ id: 'evt_3', createdAt: at(3), name: 'verification.passed', data: verification }, 2)
  await receive({ id: 'evt_4', createdAt: at(4), name: 'inquiry.approved', data: approved }, 3)
  await receive({ id: 'evt_x', createdAt: at(4), data: anObject('inquiry', 'inq_2') }, 4)
  t.strictSame(await timeline('*'), [
    ['evt_1', 'inquiry.created', 1, 0, 'created'],
    ['evt_2', 'inquiry.updated-tags', 2, 1, null],
    ['evt_3', 'verification.passed', 3, 2, null],
    ['evt_4', 'inquiry.approved', 4, 3, 'approved'],
  ].map(([event_id, event_name, second, afterMs, status]) => ({
    inquiry_id: 'inq_1', event_id, event_name, event_created_at: new Date(at(Number(second))),
    received_at: new Date(RECEIVED_AT_MS + Number(afterMs)), status, out_of_order: false,
  }))) // prettier-ignore
})

t.test('out of order is what came strictly after something newer', async (t) => {
  await receive({ id: 'evt_3', createdAt: at(3) }, 10)
  await receive({ id: 'evt_1', createdAt: at(1) }, 20)
  await receive({ id: 'evt_2', createdAt: at(2) }, 10)
  await receive({ id: 'evt_4', createdAt: at(4) }, 5)
  await receive({ id: 'evt_5', createdAt: at(5) }, 30)
  t.strictSame(await timeline('event_id, out_of_order'), [
    { event_id: 'evt_1', out_of_order: true },
    { event_id: 'evt_2', out_of_order: true },
    { event_id: 'evt_3', out_of_order: true },
    { event_id: 'evt_4', out_of_order: false },
    { event_id: 'evt_5', out_of_order: false },
  ])
})

t.test('what is received at once is in order', async (t) => {
  await receive({ id: 'evt_2', createdAt: at(2) }, 10)
  await receive({ id: 'evt_1', createdAt: at(1) }, 10)
  t.strictSame(await timeline('event_id, out_of_order'), [
    { event_id: 'evt_1', out_of_order: false },
    { event_id: 'evt_2', out_of_order: false },
  ])
})

t.test('ties of time are ordered by rank and id, as everywhere', async (t) => {
  await receive({ id: 'evt_a', name: 'inquiry.approved' }, 0)
  await receive({ id: 'evt_z', name: 'inquiry.created' }, 10)
  await receive({ id: 'evt_A', name: 'inquiry.declined' }, 20)
  const found = await sql('SELECT event_id FROM inquiry_timeline WHERE out_of_order ORDER BY event_id')
  t.strictSame(found, [{ event_id: 'evt_A' }, { event_id: 'evt_z' }])
})

t.test('events of an object are found, also where the link was learned later', async (t) => {
  for (const [index, type] of ['verification/selfie', 'report/x', 'inquiry-session'].entries())
    await receive(
      { id: `evt_${index}`, createdAt: at(index), name: 'x.y', data: anObject(type, `obj_${index}`) },
      index,
    )
  t.strictSame(await timeline('event_id'), [])
  const objects = related(['verification/selfie', 'obj_0'], ['report/x', 'obj_1'], ['inquiry-session', 'obj_2'])
  await receive(
    { id: 'evt_9', createdAt: at(9), data: anObject('inquiry', 'inq_1', { relationships: { objects } }) },
    9,
  )
  t.strictSame(await timeline('event_id, status, out_of_order'), [
    { event_id: 'evt_0', status: null, out_of_order: false },
    { event_id: 'evt_1', status: null, out_of_order: false },
    { event_id: 'evt_2', status: null, out_of_order: false },
    { event_id: 'evt_9', status: null, out_of_order: false },
  ])
})

t.test('accounts and templates do not bring their events along', async (t) => {
  await receive({ id: 'evt_1', name: 'account.created', data: anObject('account', 'act_1') }, 0)
  await receive({ id: 'evt_2', data: anObject('inquiry', 'inq_1', { relationships: { account: related(['account', 'act_1']) } }) }, 1) // prettier-ignore
  t.strictSame(await timeline('event_id'), [{ event_id: 'evt_2' }])
})

t.test("the status of an inquiry's event is told by its name where the attributes tell none", async (t) => {
  await receive({ id: 'evt_1', name: 'inquiry.marked-for-review' }, 0)
  await receive({ id: 'evt_2', createdAt: at(1), name: 'inquiry.approved', data: anObject('inquiry', 'inq_1', { attributes: { status: 'declined' } }) }, 1) // prettier-ignore
  t.strictSame(await timeline('status'), [{ status: 'needs_review' }, { status: 'declined' }])
})
