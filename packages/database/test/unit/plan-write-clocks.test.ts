import { claimStrength, type ClaimStrength, type Clock } from '@persona-ingest/persona'
import t from 'tap'
import type { Row } from '../../src/sql/row-values.ts'
import { eventOf, permutationsOf, planOf, rowsOf, stored } from '../fixtures/a-batch.ts'
import { anObject, related } from '../fixtures/an-event.ts'

const TIME_MS = Date.UTC(2026, 1, 3, 10)
const at = (shiftMs: number): string => new Date(TIME_MS + shiftMs).toISOString()
const CLOCK: Clock = { createdAtMs: TIME_MS, rank: 3, eventId: 'evt_5' }

const idsOf = (rows: readonly Row[]): readonly unknown[] => rows.map((row) => row['id'])

/** Each clock that the row of {@link CLOCK} beats, and each one that beats it. */
const OLDER: Readonly<Record<string, Clock | null>> = {
  'no clock': null,
  'an earlier time': { createdAtMs: TIME_MS - 1, rank: 7, eventId: 'evt_9' },
  'the same time with a smaller rank': { ...CLOCK, rank: 2, eventId: 'evt_9' },
  'the same time and rank with a smaller id': { ...CLOCK, eventId: 'evt_4' },
  'an id that is smaller byte by byte': { ...CLOCK, eventId: 'EVT_9' },
}
const NOT_OLDER: Readonly<Record<string, Clock>> = {
  'the same clock': CLOCK,
  'a later time': { createdAtMs: TIME_MS + 1, rank: 0, eventId: 'evt_1' },
  'the same time with a greater rank': { ...CLOCK, rank: 4, eventId: 'evt_1' },
  'the same time and rank with a greater id': { ...CLOCK, eventId: 'evt_6' },
}
const NEWEST: Clock = { createdAtMs: TIME_MS + 9, rank: 7, eventId: 'evt_9' }

// Its name gives no status, and an inquiry has no claim: the event tells of a snapshot alone.
const snapshotOnly = eventOf({ id: 'evt_5', name: 'inquiry.transitioned', createdAt: at(0) })

t.test('a snapshot is written where it is newer than the stored one', async (t) => {
  for (const [name, snapshot] of Object.entries(OLDER))
    t.strictSame(idsOf(planOf([snapshotOnly], stored('inq_1', 'inquiry', { snapshot })).sections.inquiry), ['inq_1'], name) // prettier-ignore
  for (const [name, snapshot] of Object.entries(NOT_OLDER))
    t.strictSame(planOf([snapshotOnly], stored('inq_1', 'inquiry', { snapshot })).sections.inquiry, [], name)
})

t.test('a status is written where it is newer than the stored one, beside a newer snapshot', async (t) => {
  const event = eventOf({ id: 'evt_5', createdAt: at(0), data: anObject('inquiry', 'inq_1', { attributes: { status: 'pending' } }) }) // prettier-ignore
  for (const [name, status] of Object.entries(OLDER)) {
    const plan = planOf([event], stored('inq_1', 'inquiry', { snapshot: NEWEST, status }))
    t.match(rowsOf(plan, 'inquiry'), [{ id: 'inq_1', status: 'pending', status_event_id: 'evt_5' }], name)
  }
  for (const [name, status] of Object.entries(NOT_OLDER))
    t.strictSame(planOf([event], stored('inq_1', 'inquiry', { snapshot: NEWEST, status })).sections.inquiry, [], name)
})

/** The claim of a verification on `inq_5` by its own relationship, with nothing else that is new. */
function claimOnly(storedClaim: { inquiryId?: string; strength?: ClaimStrength; clock: Clock } | null): readonly Row[] {
  const data = anObject('verification', 'ver_1', { relationships: { inquiry: related(['inquiry', 'inq_5']) } })
  const event = eventOf({ id: 'evt_5', name: 'inquiry.transitioned', createdAt: at(0), data })
  const defaults = { objectId: 'ver_1', inquiryId: 'inq_5', strength: claimStrength.byObject }
  const claim = storedClaim === null ? null : { ...defaults, ...storedClaim }
  return planOf([event], stored('ver_1', 'verification', { snapshot: NEWEST, claim })).sections.verification
}

t.test('a claim is written where it is newer than the stored one', async (t) => {
  for (const [name, clock] of Object.entries(OLDER))
    t.match(claimOnly(clock && { clock }), [{ id: 'ver_1', inquiry_id: 'inq_5' }], name)
  for (const [name, clock] of Object.entries(NOT_OLDER)) t.strictSame(claimOnly({ clock }), [], name)
})

t.test('of two claims of one event the stronger is written, then the one with the greater inquiry id', async (t) => {
  const { byInquiry, included } = claimStrength
  for (const strength of [byInquiry, included])
    t.equal(claimOnly({ clock: CLOCK, strength, inquiryId: 'inq_9' }).length, 1, `stored strength ${strength}`)
  t.equal(claimOnly({ clock: CLOCK, inquiryId: 'inq_4' }).length, 1)
  t.strictSame(claimOnly({ clock: CLOCK, inquiryId: 'inq_6' }), [])
  t.strictSame(claimOnly({ clock: NEWEST, strength: included, inquiryId: 'inq_1' }), [], 'a newer weak claim stays')
})

const referring = eventOf({
  id: 'evt_5',
  name: 'inquiry.transitioned',
  createdAt: at(0),
  data: anObject('inquiry', 'inq_1', { relationships: { account: related(['account', 'act_1']) } }),
})

t.test('a reference is written where it is newer than the stored one', async (t) => {
  for (const [name, reference] of Object.entries(OLDER)) {
    const plan = planOf([referring], stored('act_1', 'resource', { reference }))
    t.match(rowsOf(plan, 'resource'), [{ id: 'act_1', type: 'account', reference_event_id: 'evt_5' }], name)
  }
  for (const [name, reference] of Object.entries(NOT_OLDER))
    t.strictSame(planOf([referring], stored('act_1', 'resource', { reference })).sections.resource, [], name)
})

t.test('a reference changes no row that has a snapshot, however old', async (t) => {
  const snapshot = { createdAtMs: 0, rank: 0, eventId: 'evt_0' }
  t.strictSame(planOf([referring], stored('act_1', 'resource', { snapshot })).sections.resource, [])
})

t.test('a snapshot of the same event as a stored reference is written', async (t) => {
  const event = eventOf({ id: 'evt_5', name: 'x', data: anObject('account', 'act_1') })
  const plan = planOf([event], stored('act_1', 'resource', { reference: NEWEST }))
  t.match(rowsOf(plan, 'resource'), [{ id: 'act_1', event_id: 'evt_5', reference_event_id: undefined }])
})

const asVerification = eventOf({ id: 'evt_5', name: 'x', createdAt: at(0), data: anObject('verification', 'obj_1') })
const beforeIt = { ...CLOCK, createdAtMs: TIME_MS - 1 }
const afterIt = { ...CLOCK, createdAtMs: TIME_MS + 1 }

t.test('a newer snapshot of another family moves the object and is written into the other table', async (t) => {
  const plan = planOf([asVerification], stored('obj_1', 'resource', { snapshot: beforeIt }))
  t.strictSame(plan.moves, [{ id: 'obj_1', from: 'resource', to: 'verification' }])
  t.match(rowsOf(plan, 'verification'), [{ id: 'obj_1', event_id: 'evt_5' }])
  t.strictSame(plan.sections.resource, [])
  t.strictSame(plan.sections.objects, [], 'the move changes the stored entry')
})

t.test('an older snapshot of another family moves nothing', async (t) => {
  const plan = planOf([asVerification], stored('obj_1', 'resource', { snapshot: afterIt }))
  t.strictSame(plan.moves, [])
  t.strictSame([...plan.sections.verification, ...plan.sections.resource], [])
})

t.test(
  'an older snapshot of another family brings its newer status into the table that holds the object',
  async (t) => {
    const data = anObject('verification', 'obj_1', { attributes: { status: 'passed' } })
    const event = eventOf({ id: 'evt_5', name: 'x', createdAt: at(0), data })
    const plan = planOf([event], stored('obj_1', 'resource', { snapshot: afterIt, status: beforeIt }))
    t.strictSame(plan.moves, [])
    const [row] = rowsOf(plan, 'resource')
    t.match(row, { id: 'obj_1', environment: 'production', status: 'passed', status_event_id: 'evt_5' })
    t.equal(row?.['event_id'], undefined, 'without the clock of the snapshot')
  },
)

t.test('a newer reference of another family moves an object without a snapshot only', async (t) => {
  const data = anObject('inquiry', 'inq_1', { relationships: { session: related(['verification', 'obj_1']) } })
  const event = eventOf({ id: 'evt_5', createdAt: at(0), data })
  const move = { id: 'obj_1', from: 'resource', to: 'verification' }
  t.strictSame(planOf([event], stored('obj_1', 'resource', { reference: beforeIt })).moves, [move])
  t.strictSame(planOf([event], stored('obj_1', 'resource', { reference: afterIt })).moves, [])
  t.strictSame(planOf([event], stored('obj_1', 'resource', { snapshot: beforeIt })).moves, [])
})

t.test('two snapshots of different families in one batch end in the family of the newer one', async (t) => {
  const asAccount = eventOf({ id: 'evt_6', name: 'x', createdAt: at(1), data: anObject('account', 'obj_1') })
  for (const events of permutationsOf([asVerification, asAccount])) {
    const plan = planOf(events)
    t.strictSame(plan.moves, [])
    t.strictSame(rowsOf(plan, 'objects'), [{ id: 'obj_1', family: 'resource' }])
    t.strictSame(plan.sections.verification, [])
    t.match(rowsOf(plan, 'resource'), [{ id: 'obj_1', event_id: 'evt_6' }])
  }
})

t.test('an erasure of an object that moves is noted with the new family', async (t) => {
  const known = stored('obj_1', 'resource', { snapshot: beforeIt })
  const { sections } = planOf([asVerification], known, { erasures: new Map([['obj_1', CLOCK]]) })
  t.match(sections.objects, [{ id: 'obj_1', family: 'verification' }])
})
