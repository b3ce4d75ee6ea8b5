import t from 'tap'
import { foldEvents, statesOf } from '../../src/event.ts'
import { mergeStates, type ObjectState } from '../../src/last-write-wins.ts'
import { anEvent, anObject, read, relation, type Json } from '../model/event-document.ts'

/** An event at a second of its own, `evt_<second>`. */
function at(second: number, data: Json, included: Json = [], name = 'case.updated') {
  const createdAt = new Date(Date.UTC(2026, 0, 1) + second * 1000).toISOString()
  return read(anEvent({ id: `evt_${second}`, name, createdAt, data, included }))
}

/** Which event told each part of an object's state. */
function tellers(state: ObjectState | undefined) {
  const eventOf = (part: { readonly clock: { readonly eventId: string } } | null) => part?.clock.eventId ?? null
  if (state === undefined) return null
  return {
    snapshot: eventOf(state.snapshot),
    reference: eventOf(state.reference),
    status: eventOf(state.status),
    claim: eventOf(state.claim),
  }
}

t.test('an event tells of every object that it shows, names or claims', async (t) => {
  const states = statesOf(
    at(1, anObject('inquiry', 'inq_1', { status: 'pending' }, { v: relation(['verification', 'ver_2']) }), [
      anObject('verification', 'ver_1'),
      anObject('account', 'act_1', { status: 'x' }),
    ]),
  )
  t.strictSame([...states.keys()].toSorted(), ['act_1', 'inq_1', 'ver_1', 'ver_2'])
  t.strictSame(tellers(states.get('inq_1')), { snapshot: 'evt_1', reference: null, status: 'evt_1', claim: null })
  t.strictSame(tellers(states.get('ver_1')), { snapshot: 'evt_1', reference: null, status: null, claim: 'evt_1' })
  t.strictSame(tellers(states.get('ver_2')), { snapshot: null, reference: 'evt_1', status: null, claim: 'evt_1' })
  t.strictSame(tellers(states.get('act_1')), { snapshot: 'evt_1', reference: null, status: 'evt_1', claim: null })
  t.match(states.get('inq_1')?.snapshot, { environment: 'production', eventName: 'case.updated' })
})

t.test('the newest snapshot counts, and the newest status apart from it', async (t) => {
  const events = [
    at(1, anObject('case', 'c', { status: 'Open', n: 1 })),
    at(2, anObject('case', 'c', { status: 'Resolved', n: 2 })),
    at(3, anObject('account', 'a'), [anObject('case', 'c', { n: 3 })]),
  ]
  for (const order of [events, events.toReversed()]) {
    const state = foldEvents(order).get('c')
    t.strictSame(tellers(state), { snapshot: 'evt_3', reference: null, status: 'evt_2', claim: null })
    t.equal(state?.status?.value, 'Resolved')
  }
})

t.test('the rank and then the id decide between events of one millisecond', async (t) => {
  const document = (id: string, name: string, status: string) =>
    read(anEvent({ id, name, data: anObject('inquiry', 'inq_1', { status }) }))
  const events = [
    document('evt_a', 'inquiry.approved', 'approved'),
    document('evt_b', 'inquiry.declined', 'declined'),
    document('evt_c', 'inquiry.completed', 'completed'),
    document('evt_d', 'inquiry.updated-tags', 'pending'),
  ]
  for (const order of [events, events.toReversed()]) t.equal(foldEvents(order).get('inq_1')?.status?.value, 'declined')
})

t.test('of references the newest counts, beside a snapshot and without one', async (t) => {
  const events = [
    at(1, anObject('case', 'c', {}, { x: relation(['verification/database', 'x_1']) })),
    at(2, anObject('case', 'c', {}, { x: relation(['verification/basic', 'x_1']) })),
  ]
  for (const order of [events, events.toReversed()])
    t.match(foldEvents(order).get('x_1'), { snapshot: null, reference: { type: 'verification/basic' } })
  const shown = foldEvents([...events, at(0, anObject('verification/selfie', 'x_1'))]).get('x_1')
  t.equal(shown?.snapshot?.value.type, 'verification/selfie', 'an older snapshot is one all the same')
})

t.test('the newest claim counts, however weak and stale', async (t) => {
  const events = [
    at(1, anObject('verification', 'v', {}, { i: relation(['inquiry', 'inq_own']) })),
    at(2, anObject('inquiry', 'inq_beside'), [anObject('verification', 'v')]),
  ]
  for (const order of [events, events.toReversed()]) t.equal(foldEvents(order).get('v')?.claim?.inquiryId, 'inq_beside')
  const stale = at(3, anObject('inquiry', 'inq_by_name', {}, { v: relation(['verification', 'v']) }))
  const state = foldEvents([stale, ...events]).get('v')
  t.equal(state?.claim?.inquiryId, 'inq_by_name', 'an event without a snapshot of the object')
  t.equal(state?.snapshot?.clock.eventId, 'evt_2')
})

t.test('within one event the strongest claim counts, then the greater inquiry id', async (t) => {
  const own = anObject('verification', 'v', {}, { i: relation(['inquiry', 'inq_a'], ['inquiry', 'inq_b']) })
  const inquiry = anObject('inquiry', 'inq_z', {}, { v: relation(['verification', 'v']) })
  t.equal(foldEvents([at(1, inquiry, [own])]).get('v')?.claim?.inquiryId, 'inq_b')
  t.equal(foldEvents([at(1, own, [inquiry])]).get('v')?.claim?.inquiryId, 'inq_b')
  const other = anObject('inquiry', 'inq_c', {}, { v: relation(['verification', 'v']) })
  const bare = anObject('verification', 'v')
  t.equal(
    foldEvents([at(1, anObject('inquiry', 'inq_zz'), [bare, other, inquiry])]).get('v')?.claim?.inquiryId,
    'inq_z',
  )
})

t.test('merging with what is known already changes nothing', async (t) => {
  const state = foldEvents([at(1, anObject('case', 'c', { status: 'Open' }))]).get('c')
  if (state === undefined) throw new Error('no state')
  t.strictSame(mergeStates(state, state), state)
})
