import t from 'tap'
import type { Clock } from '../../src/last-write-wins.ts'
import { reducedObjectIn, reduceEvent, type RedactionLookup } from '../../src/redaction.ts'
import type { PersonaEvent } from '../../src/event.ts'
import { anEvent, anObject, plain, read, readText, relation, type Json, type JsonMap } from '../model/event-document.ts'

const SECRET: JsonMap = {
  'name-first': 'secret',
  'reference-id': 'secret',
  fields: { x: 'secret' },
  status: 'approved',
}
const INQUIRY = anObject('inquiry', 'inq_1', SECRET, { account: relation(['account', 'act_1']) })
const VERIFICATION = anObject('verification/selfie', 'ver_1', {
  ...SECRET,
  'country-code': 'secret',
  checks: ['secret'],
})
const ACCOUNT = anObject('account', 'act_1', SECRET)

/** The clock of an event of the same time, before, at or after it. */
function clockAt(event: PersonaEvent, side: 'before' | 'same' | 'after'): Clock {
  const shift = { before: -1, same: 0, after: 1 }[side]
  return { ...event.clock, createdAtMs: event.clock.createdAtMs + shift }
}

function erased(clocks: Readonly<Record<string, Clock>>): RedactionLookup {
  return (objectId) => clocks[objectId] ?? null
}

/** The ids of the objects of an event that keep their skeleton only; null stands for those without an id. */
function reducedIds(event: PersonaEvent, lookup: RedactionLookup): readonly (string | null)[] {
  const isReduced = reducedObjectIn(event, lookup)
  return [null, event.primary.id, ...event.included.map((object) => object.id)].filter(isReduced)
}

t.test('an event that no redaction reaches is the same event', async (t) => {
  const event = read(anEvent({ data: INQUIRY, included: [VERIFICATION, ACCOUNT] }))
  t.equal(
    reduceEvent(event, () => null),
    event,
  )
  t.equal(reduceEvent(event, erased({ other: clockAt(event, 'after') })), event)
  const older = clockAt(event, 'before')
  t.equal(reduceEvent(event, erased({ inq_1: older, ver_1: older })), event, 'a snapshot newer than the redaction')
})

t.test('a redaction reaches the events at and below its clock', async (t) => {
  const event = read(anEvent({ name: 'account.created', data: ACCOUNT, included: [VERIFICATION] }))
  const { clock } = event
  for (const [erasedAt, isReached] of [
    [clock, true],
    [clockAt(event, 'after'), true],
    [clockAt(event, 'before'), false],
    [{ ...clock, rank: clock.rank + 1 }, true],
    [{ ...clock, rank: clock.rank - 1 }, false],
    [{ ...clock, eventId: `${clock.eventId}a` }, true],
    [{ ...clock, eventId: clock.eventId.slice(0, -1) }, false],
  ] as const)
    t.strictSame(reducedIds(event, erased({ ver_1: erasedAt })), isReached ? ['ver_1'] : [], JSON.stringify(erasedAt))
})

t.test(
  "an inquiry's own events keep nothing of any object, shared ones and those without an id included",
  async (t) => {
    const withoutId = anObject('document/generic', '', SECRET)
    const event = read(
      anEvent({ data: INQUIRY, included: [VERIFICATION, ACCOUNT, withoutId, 'secret', 5, null, ['secret']] }),
    )
    const lookup = erased({ inq_1: clockAt(event, 'after') })
    t.strictSame(reducedIds(event, lookup), [null, 'inq_1', 'ver_1', 'act_1'])
    const reduced = reduceEvent(event, lookup)
    t.notMatch(reduced.payloadText, /secret/)
    for (const object of [reduced.primary, ...reduced.included])
      t.notMatch(JSON.stringify(plain(object.snapshot)), /secret/, object.id)
    t.strictSame(plain(reduced.included[1]?.snapshot.attributes), {})
  },
)

t.test('in the events of others only what the redaction reaches is reduced', async (t) => {
  const event = read(
    anEvent({
      name: 'account.created',
      data: ACCOUNT,
      included: [INQUIRY, VERIFICATION, anObject('case', '', SECRET)],
    }),
  )
  const after = clockAt(event, 'after')
  t.strictSame(reducedIds(event, erased({ inq_1: after, ver_1: after })), ['inq_1', 'ver_1'])
  const reduced = reduceEvent(event, erased({ inq_1: after, ver_1: after }))
  const document = plain(reduced.document) as { data: { attributes: { payload: { data: Json; included: Json[] } } } }
  const { data, included } = document.data.attributes.payload
  t.strictSame(data, ACCOUNT, 'the account stays as told')
  t.strictSame(included[2], anObject('case', '', SECRET), 'so does what cannot be told apart')
  t.notMatch(JSON.stringify(included.slice(0, 2)), /secret/)
  t.equal(reduced.primary, event.primary)
})

t.test('the redacting snapshot is kept as told, all else in its event is not', async (t) => {
  const redacted = anObject('inquiry', 'inq_1', { ...SECRET, 'redacted-at': '2026-02-03T10:06:21Z' })
  const event = read(
    anEvent({
      name: 'inquiry.redacted',
      data: redacted,
      included: [VERIFICATION, ACCOUNT, anObject('x', '', SECRET)],
      extra: { context: { kept: true } },
    }),
  )
  const lookup = erased({ inq_1: event.clock, ver_1: event.clock })
  t.strictSame(reducedIds(event, lookup), [null, 'ver_1', 'act_1'])
  const reduced = reduceEvent(event, lookup)
  t.equal(reduced.primary, event.primary)
  const document = plain(reduced.document) as {
    data: { attributes: { payload: { data: Json; included: Json }; context: Json } }
  }
  t.strictSame(document.data.attributes.payload.data, redacted)
  t.strictSame(document.data.attributes.context, { kept: true }, 'the envelope of the redacting snapshot stays')
  t.notMatch(JSON.stringify(document.data.attributes.payload.included), /secret/)
})

t.test('a redacting snapshot that a newer redaction reaches is reduced like any other', async (t) => {
  const event = read(
    anEvent({ data: anObject('inquiry', 'inq_1', { ...SECRET, 'redacted-at': '2026-01-01T00:00:00Z' }) }),
  )
  t.strictSame(reducedIds(event, erased({ inq_1: clockAt(event, 'after') })), [null, 'inq_1'])
})

t.test('a redacting snapshot in included is kept as told, and the objects of its inquiry are not', async (t) => {
  const redacted = anObject('inquiry', 'inq_1', { ...SECRET, 'redacted-at': '2026-01-01T00:00:00Z' })
  const event = read(
    anEvent({ name: 'case.updated', data: anObject('case', 'c', SECRET), included: [redacted, VERIFICATION] }),
  )
  t.strictSame(reducedIds(event, erased({ inq_1: event.clock, ver_1: event.clock })), ['ver_1'])
})

t.test('a snapshot that another event of the same inquiry redacts is no redacting snapshot', async (t) => {
  const event = read(anEvent({ data: INQUIRY }))
  t.strictSame(reducedIds(event, erased({ inq_1: event.clock })), [null, 'inq_1'])
})

t.test('what an event tells besides its objects stays, and its bytes go', async (t) => {
  const text = JSON.stringify(
    anEvent({
      data: anObject('inquiry', 'inq_1', SECRET, { v: relation(['verification', 'ver_2'], ['verification', 'ver_1']) }),
      included: [VERIFICATION],
    }),
  )
  const event = readText(text.replace('"fields"', '"n":1e2,"fields"'))
  t.not(event.originalBytes, null)
  const reduced = reduceEvent(event, erased({ inq_1: clockAt(event, 'after') }))
  t.equal(reduced.originalBytes, null)
  for (const key of ['id', 'environment', 'name', 'clock', 'casing', 'claims', 'references', 'inquiryId'] as const)
    t.same(reduced[key], event[key], key)
  t.equal(reduced.primary.status, 'approved')
})

t.test('reading a reduced payload again tells the same, whatever the columns were told by', async (t) => {
  const odd = {
    'a reference without a type': anObject('inquiry', 'inq_1', SECRET, { account: { data: { id: 'act_1' } } }),
    'a relation without data': anObject('inquiry', 'inq_1', SECRET, { account: {}, template: { data: {} } }),
    'a status of a wrong kind': anObject('inquiry', 'inq_1', { ...SECRET, status: 5 }),
    'a status that is an object': anObject('inquiry', 'inq_1', { status: { secret: 'secret' } }),
    'no status': anObject('inquiry', 'inq_1', { 'reference-id': 'secret' }),
    'an unreadable time': anObject('inquiry', 'inq_1', { 'created-at': 'secret', 'started-at': 5, 'redacted-at': '' }),
    'two spellings of one time': anObject('inquiry', 'inq_1', {
      'created-at': '2026-01-01T00:00:00Z',
      created_at: 'secret',
    }),
  }
  for (const [name, data] of Object.entries(odd)) {
    const event = read(anEvent({ name: 'inquiry.declined', data }))
    const lookup = erased({ inq_1: clockAt(event, 'after') })
    const reduced = reduceEvent(event, lookup)
    t.notMatch(reduced.payloadText, /secret/, name)
    const again = reduceEvent(readText(reduced.payloadText), lookup)
    t.equal(again.payloadText, reduced.payloadText, name)
    t.strictSame(plain(again.primary), plain(reduced.primary), name)
    t.same(again.references, reduced.references, name)
  }
})

t.test('a type that is a number stays through a reduction, digit by digit', async (t) => {
  const text = JSON.stringify(anEvent({ data: INQUIRY, included: [anObject('TYPE', 'x_1', SECRET)] }))
  const event = readText(text.replace('"TYPE"', '1.0'))
  const lookup = erased({ inq_1: clockAt(event, 'after') })
  const reduced = reduceEvent(event, lookup)
  t.equal(reduced.included[0]?.snapshot.type, '1.0')
  t.equal(readText(reduced.payloadText).included[0]?.snapshot.type, '1.0')
})
