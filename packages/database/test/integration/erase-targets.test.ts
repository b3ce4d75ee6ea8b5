import { everyRow, marksIn } from '@persona-ingest/testkit'
import t from 'tap'
import { AmbiguousSubjectError, eraseTargets, findErasureTargets, type ErasureSubject } from '../../src/index.ts'
import { aDatabase } from '../fixtures/a-database.ts'
import { anEvent, anObject, bodyOf, related, type Casing, type EventParts } from '../fixtures/an-event.ts'

const database = await aDatabase(t)
const { row, sql, store, keepDeadLetter, deliver } = database
t.beforeEach(() => database.empty())

const at = (second: number) => `2026-02-03T10:00:0${second}.000Z`
const NOW_MS = Date.parse(at(9))

let marks: string[] = []
t.beforeEach(() => void (marks = []))
function mark(place: string): string {
  const text = `MARK-${place}-${marks.length}`
  marks.push(text)
  return text
}
const found = async () => marksIn(await everyRow(sql), marks)

async function erase(asked: string, as?: ErasureSubject, isDryRun = false) {
  const targets = await findErasureTargets(database.opened, asked, { as })
  return targets === null
    ? null
    : await eraseTargets(database.opened, targets, { isDryRun, nowMs: NOW_MS, reason: 'ticket 7' })
}

type Told = { readonly reference?: unknown; readonly account?: string; readonly attributes?: object }

const anInquiry = (id: string, { reference, account, attributes }: Told = {}) =>
  anObject('inquiry', id, {
    attributes: { 'name-first': mark(id), 'reference-id': reference ?? null, status: 'approved', ...attributes },
    relationships: account === undefined ? {} : { account: related(['account', account]) },
  })
const anAccount = (id: string, reference: unknown = null) =>
  anObject('account', id, { attributes: { 'name-first': mark(id), 'reference-id': reference } })
const aSelfie = (id: string, inquiry: string) =>
  anObject('verification/selfie', id, {
    attributes: { 'country-code': mark(id) },
    relationships: { inquiry: related(['inquiry', inquiry]) },
  })

t.test('an inquiry goes with its objects and its own events, and the report names what went', async (t) => {
  await store({ id: 'evt_1', createdAt: at(1), data: anInquiry('inq_1'), included: [anAccount('act_1')] })
  await store({ id: 'evt_2', createdAt: at(2), name: 'verification.passed', data: aSelfie('ver_1', 'inq_1') })
  await keepDeadLetter({ eventId: 'evt_3', reason: 'VALUE_REFUSED', attempts: 1, body: bodyOf(anEvent({ id: 'evt_3', data: anInquiry('inq_1') })) }) // prettier-ignore
  await keepDeadLetter({ body: Buffer.from(`{"id": "inq_1", "name": "${mark('cut')}"`) })
  const others = marks.length
  await store({ id: 'evt_4', createdAt: at(1), data: anInquiry('inq_2'), included: [aSelfie('ver_2', 'inq_2')] })
  const before = await everyRow(sql)
  const dry = await erase('inq_1', undefined, true)
  t.equal(await everyRow(sql), before, 'a dry run leaves everything')
  const report = await erase('inq_1')
  t.strictSame(await found(), marks.slice(others))
  const deadLetters = (await sql('SELECT id::text AS id FROM dead_letters ORDER BY id')).map(({ id }) => id)
  const expected = {
    eventIds: ['evt_1', 'evt_2'],
    inquiryIds: ['inq_1'],
    verificationIds: ['ver_1'],
    resourceIds: ['act_1'],
    deadLetterIds: deadLetters,
  }
  t.match(report, expected)
  t.strictSame(dry, { ...report, erasureIds: [] }, 'and tells the same')
  const { report: recorded, ...record } = await row('SELECT id, object_id, reason, erased_at, report FROM erasures')
  t.strictSame(record, { id: report?.erasureIds[0], object_id: 'inq_1', reason: 'ticket 7', erased_at: new Date(NOW_MS) }) // prettier-ignore
  const { deadLetterIds, ...ids } = expected
  t.strictSame(recorded, { ...ids, letterIds: deadLetterIds }, 'stored under the names of earlier versions')
  t.match(await row(`SELECT status, event_id FROM inquiries WHERE id = 'inq_1'`), {
    status: 'approved',
    event_id: 'evt_1',
  })
  t.match(await erase('inq_1'), { eventIds: [], inquiryIds: [], deadLetterIds: [] }, 'again, there is nothing left')
})

t.test('by a reference id that stands in an event changed by hand, too', async (t) => {
  await store({ id: 'evt_1', createdAt: at(1), data: anInquiry('inq_1', { reference: 'ref-7' }) })
  await sql(`UPDATE events SET payload = jsonb_build_array(payload)`)
  t.match(await erase('ref-7'), { eventIds: ['evt_1'], inquiryIds: ['inq_1'] })
  t.strictSame(await found(), [])
})

t.test('it holds against what is older and comes later, and not against what is newer', async (t) => {
  await store({ id: 'evt_1', createdAt: at(1), data: anInquiry('inq_1') })
  await erase('inq_1')
  await store({ id: 'evt_0', createdAt: at(0), data: anInquiry('inq_1'), included: [anAccount('act_1')] })
  await store({ id: 'evt_2', createdAt: at(2), name: 'verification.passed', data: aSelfie('ver_1', 'inq_1') })
  await store({ id: 'evt_9', createdAt: at(9), name: 'inquiry.redacted', data: anInquiry('inq_1') })
  await keepDeadLetter({ eventId: 'evt_5', reason: 'VALUE_REFUSED', attempts: 1, body: bodyOf(anEvent({ id: 'evt_5', data: anInquiry('inq_1') })) }) // prettier-ignore
  t.strictSame(await found(), [])
  const before = marks.length
  const createdAt = '2026-02-03T10:00:09.001Z'
  await store({ id: 'evt_10', createdAt, data: anInquiry('inq_1'), included: [aSelfie('ver_1', 'inq_1')] })
  t.strictSame(await found(), marks.slice(before))
})

t.test('it reaches what is stored already though our clock says it is still to come', async (t) => {
  const tomorrow = '2026-02-04T09:59:59.999Z'
  await store({ id: 'evt_1', createdAt: tomorrow, name: 'inquiry.redacted', data: anInquiry('inq_1') })
  await store({ id: 'evt_2', createdAt: tomorrow, name: 'report/x.ready', data: anAccount('act_1') })
  const deadLetter = anEvent({ id: 'evt_3', createdAt: tomorrow, data: anInquiry('inq_2') })
  await keepDeadLetter({ eventId: 'evt_3', reason: 'VALUE_REFUSED', attempts: 1, body: bodyOf(deadLetter) })
  for (const id of ['inq_1', 'act_1', 'inq_2']) await erase(id)
  t.strictSame(await found(), [])
  const before = marks.length
  await store({ id: 'evt_4', createdAt: '2026-02-04T10:00:00.000Z', data: anInquiry('inq_1') })
  t.strictSame(await found(), marks.slice(before))
})

t.test('an account goes with every inquiry that was ever said to be its own', async (t) => {
  await store({ id: 'evt_1', createdAt: at(1), name: 'account.created', data: anAccount('act_1') })
  await store({ id: 'evt_2', createdAt: at(2), data: anInquiry('inq_now', { account: 'act_1' }) })
  await store({ id: 'evt_3', createdAt: at(3), data: anInquiry('inq_once', { account: 'act_1' }) })
  await store({ id: 'evt_4', createdAt: at(4), data: anInquiry('inq_once', { account: 'act_2' }) })
  await keepDeadLetter({ eventId: 'evt_5', reason: 'VALUE_REFUSED', attempts: 1, body: bodyOf(anEvent({ id: 'evt_5', data: anInquiry('inq_letter', { account: 'act_1' }) })) }) // prettier-ignore
  const others = marks.length
  await store({ id: 'evt_6', createdAt: at(5), name: 'account.created', data: anAccount('act_2') })
  const targets = await findErasureTargets(database.opened, 'act_1')
  t.match(targets, { subject: 'account', accountIds: ['act_1'], inquiryIds: ['inq_letter', 'inq_now', 'inq_once'] })
  await erase('act_1')
  t.strictSame(await found(), marks.slice(others))
  await store({ id: 'evt_7', createdAt: at(0), name: 'account.created', data: anAccount('act_1') })
  await store({ id: 'evt_8', createdAt: at(0), data: anInquiry('inq_letter', { account: 'act_1' }) })
  t.strictSame(await found(), marks.slice(others, others + 1))
})

for (const casing of ['kebab', 'camel', 'snake'] satisfies Casing[]) {
  t.test(`a reference id is found in every snapshot ever stored: ${casing}`, async (t) => {
    const reference = 'tenant-7::"Zoë" \u00e9\u0001'
    const send = async (parts: EventParts) => await deliver({ body: bodyOf(anEvent(parts), casing) })
    await send({ id: 'evt_1', createdAt: at(1), data: anInquiry('inq_row', { reference }) })
    await send({ id: 'evt_2', createdAt: at(1), data: anInquiry('inq_older', { reference }) })
    await send({ id: 'evt_3', createdAt: at(2), data: anInquiry('inq_older', { reference: 'other' }) })
    await send({ id: 'evt_4', createdAt: at(3), name: 'case.created', data: anObject('case', 'case_1'), included: [anAccount('act_row', reference)] }) // prettier-ignore
    await send({ id: 'evt_5', createdAt: at(1), name: 'account.created', data: anAccount('act_older', reference) })
    await send({ id: 'evt_6', createdAt: at(2), name: 'account.created', data: anAccount('act_older') })
    await send({ id: 'evt_7', createdAt: at(1), data: anInquiry('inq_of_account', { account: 'act_older' }) })
    const deadLetter = anEvent({ id: 'evt_8', data: anInquiry('inq_letter', { reference }) })
    await keepDeadLetter({ eventId: 'evt_8', reason: 'VALUE_REFUSED', attempts: 1, body: bodyOf(deadLetter, casing) })
    await keepDeadLetter({ body: Buffer.from(`{"x": ${JSON.stringify(reference)}, "name": "${mark('cut')}"`) })
    const others = marks.length
    await send({ id: 'evt_9', data: anInquiry('inq_9', { reference: `${reference}1` }) })
    await keepDeadLetter({ body: Buffer.from(`{"x": ${JSON.stringify(`${reference}1`)}, "name": "${mark('other')}"`) })
    t.match(await findErasureTargets(database.opened, reference), {
      subject: 'reference-id',
      inquiryIds: ['inq_letter', 'inq_of_account', 'inq_older', 'inq_row'],
      accountIds: ['act_older', 'act_row'],
    })
    t.match(await erase(reference), { erasureIds: { length: 7 } })
    t.strictSame(await found(), marks.slice(others))
    t.equal(await findErasureTargets(database.opened, reference), null, 'it stands nowhere any more')
  })
}

t.test('a reference id that was told as a number is found', async (t) => {
  await store({ id: 'evt_1', data: anInquiry('inq_1', { reference: 42 }), included: [anAccount('act_1', 42)] })
  await store({ id: 'evt_2', data: anInquiry('inq_2', { reference: 142 }), included: [anAccount('act_2', '4')] })
  t.match(await findErasureTargets(database.opened, '42'), { inquiryIds: ['inq_1'], accountIds: ['act_1'] })
})

t.test('any other object goes alone', async (t) => {
  const report = anObject('report/x', 'rep_1', { attributes: { note: mark('report') } })
  await store({ id: 'evt_1', name: 'report/x.ready', data: report })
  await store({ id: 'evt_2', data: anInquiry('inq_1'), included: [report] })
  t.match(await findErasureTargets(database.opened, 'rep_1'), { subject: 'object', others: [{ id: 'rep_1' }] })
  await erase('rep_1')
  t.strictSame(await found(), marks.slice(1))
})

t.test('what is nothing, or something else than was said, is not found', async (t) => {
  await store({ id: 'evt_1', data: anInquiry('inq_1', { reference: 'ref' }), included: [anAccount('act_1', '')] })
  for (const [asked, as] of [
    ['inq_2', undefined],
    ['evt_1', undefined],
    ['', undefined],
    ['inq_1', 'account'],
    ['act_1', 'inquiry'],
    ['inq_1', 'reference-id'],
    ['ref', 'inquiry'],
    ['', 'reference-id'],
  ] as const)
    // prettier-ignore
    t.equal(await findErasureTargets(database.opened, asked, { as }), null, `${asked} ${as}`)
})

t.test('what is an id and a reference id as well must be told apart', async (t) => {
  await store(
    { id: 'evt_1', data: anInquiry('inq_1') },
    { id: 'evt_2', data: anInquiry('inq_2', { reference: 'inq_1' }) },
  )
  await t.rejects(findErasureTargets(database.opened, 'inq_1'), AmbiguousSubjectError)
  t.match(await findErasureTargets(database.opened, 'inq_1', { as: 'inquiry' }), { inquiryIds: ['inq_1'] })
  t.match(await findErasureTargets(database.opened, 'inq_1', { as: 'reference-id' }), { inquiryIds: ['inq_2'] })
})

t.test('what only a dead letter told of is erased, whatever it turns out to be', async (t) => {
  for (const id of ['ver_7', 'act_7', 'inq_7'])
    await keepDeadLetter({ body: Buffer.from(`{"id":"${id}","a":"${mark(id)}"`) })
  for (const id of ['ver_7', 'act_7', 'inq_7']) t.ok(await erase(id), id)
  await store({ id: 'evt_1', createdAt: at(1), name: 'verification.passed', data: aSelfie('ver_7', 'inq_7') })
  await store({ id: 'evt_2', createdAt: at(1), data: anInquiry('inq_7'), included: [anAccount('act_7')] })
  t.strictSame(await found(), [])
  t.match(await row('SELECT id, inquiry_id FROM verifications'), { id: 'ver_7', inquiry_id: 'inq_7' })
  t.match(await row('SELECT id FROM inquiries'), { id: 'inq_7' })
})

t.test('a log of several pages is read whole', async (t) => {
  const reference = mark('reference')
  for (let batch = 0; batch < 22; batch += 1) {
    const events = Array.from({ length: 100 }, (_, index): EventParts => {
      const id = `inq_${batch}_${index}`
      return { id: `evt_${id}`, createdAt: at(1), data: anObject('inquiry', id, { attributes: { 'reference-id': index === 50 ? reference : 'other' } }) } // prettier-ignore
    })
    await store(...events)
  }
  await sql(`UPDATE inquiries SET reference_id = NULL`)
  const scanned: number[] = []
  const targets = await findErasureTargets(database.opened, reference, {
    onProgress: (each) => scanned.push(each.scannedEvents),
  })
  t.equal(targets?.inquiryIds.length, 22)
  t.strictSame(scanned, [2000, 2200, 2200])
})

t.test('while events of it arrive, none that is older escapes', async (t) => {
  await store({ id: 'evt_first', createdAt: at(1), data: anInquiry('inq_1') })
  const arriving = Array.from(
    { length: 20 },
    (_, index) =>
    store({ id: `evt_${index}`, createdAt: at(index % 9), data: anInquiry('inq_1'), included: [aSelfie(`ver_${index}`, 'inq_1')] }), // prettier-ignore
  )
  await Promise.all([...arriving.slice(0, 10), erase('inq_1'), ...arriving.slice(10)])
  t.strictSame(await found(), [])
})
