import { compareBytes, type Clock, type PersonaEvent } from '@persona-ingest/persona'
import t from 'tap'
import {
  erasureLookup,
  newRedactions,
  objectRow,
  raisedErasures,
  redactionRows,
  type ErasureState,
  type StoredClaim,
} from '../../src/redaction/plan-redaction.ts'
import { eventOf, permutationsOf } from '../fixtures/a-batch.ts'
import { anObject, related, type EventParts } from '../fixtures/an-event.ts'

const TIME_MS = Date.UTC(2026, 1, 3, 10)
const at = (shiftMs: number): string => new Date(TIME_MS + shiftMs).toISOString()
const clockAt = (shiftMs: number, eventId: string, rank = 0): Clock => ({ createdAtMs: TIME_MS + shiftMs, rank, eventId }) // prettier-ignore

const NOTHING_KNOWN: ErasureState = { objects: new Map(), redactions: new Map() }

/** The redaction of an inquiry, told by an event `inquiry.redacted`. */
function redactionOf(inquiryId: string, id: string, shiftMs: number, parts: EventParts = {}): PersonaEvent {
  const data = anObject('inquiry', inquiryId)
  return eventOf({ id, name: 'inquiry.redacted', createdAt: at(shiftMs), data, ...parts })
}

/** An event of a verification that claims to belong to inquiries. */
function claimOf(objectId: string, inquiryId: string, id: string, shiftMs: number): PersonaEvent {
  const data = anObject('verification', objectId, { relationships: { inquiry: related(['inquiry', inquiryId]) } })
  return eventOf({ id, name: 'verification.created', createdAt: at(shiftMs), data })
}

function raised(
  events: readonly PersonaEvent[],
  known: ErasureState = NOTHING_KNOWN,
  storedClaims: readonly StoredClaim[] = [],
): Readonly<Record<string, Clock>> {
  const redactions = newRedactions(events, known)
  return Object.fromEntries(raisedErasures({ events, known, redactions, storedClaims }))
}

t.test('a redaction is new where none is stored or an older one is', async (t) => {
  const event = redactionOf('inq_1', 'evt_5', 0)
  const { clock } = event
  const storedAt = (stored: Clock) => ({ ...NOTHING_KNOWN, redactions: new Map([['inq_1', stored]]) })
  t.strictSame([...newRedactions([event], NOTHING_KNOWN)], [['inq_1', clock]])
  const older = [clockAt(-1, 'evt_9', 7), { ...clock, rank: 6 }, { ...clock, eventId: 'evt_4' }]
  for (const stored of older)
    t.strictSame([...newRedactions([event], storedAt(stored))], [['inq_1', clock]], JSON.stringify(stored))
  for (const stored of [clock, clockAt(1, 'evt_1'), { ...clock, eventId: 'evt_6' }])
    t.strictSame([...newRedactions([event], storedAt(stored))], [], JSON.stringify(stored))
})

t.test('of two redactions of one inquiry the newer one counts, in either order', async (t) => {
  const events = [redactionOf('inq_1', 'evt_1', 0), redactionOf('inq_1', 'evt_2', 5)]
  for (const order of permutationsOf(events))
    t.strictSame([...newRedactions(order, NOTHING_KNOWN)], [['inq_1', clockAt(5, 'evt_2', 7)]])
})

t.test('an event that announces no redaction of an inquiry raises none', async (t) => {
  const account = eventOf({ name: 'account.redacted', data: anObject('account', 'act_1') })
  for (const event of [eventOf({}), claimOf('ver_1', 'inq_1', 'evt_1', 0), account])
    t.strictSame([...newRedactions([event], NOTHING_KNOWN)], [], event.name)
})

t.test('an inquiry among the included objects is redacted as well', async (t) => {
  const included = [anObject('inquiry', 'inq_2', { attributes: { 'redacted-at': at(0) } })]
  const event = eventOf({ id: 'evt_5', name: 'x', createdAt: at(0), data: anObject('case', 'case_1'), included })
  t.strictSame([...newRedactions([event], NOTHING_KNOWN).keys()], ['inq_2'])
  t.strictSame(Object.keys(raised([event])), ['inq_2'])
})

t.test('what is known stays as it is', async (t) => {
  const known: ErasureState = {
    objects: new Map([['ver_1', { family: 'verification', erasedAt: null }]]),
    redactions: new Map([['inq_1', clockAt(0, 'evt_1')]]),
  }
  const before = structuredClone(known)
  raised([redactionOf('inq_1', 'evt_2', 5), claimOf('ver_1', 'inq_1', 'evt_3', 9)], known)
  t.strictSame(known, before)
})

t.test('a redaction reaches its inquiry, what the batch claims for it, and what stored claims do', async (t) => {
  const redaction = redactionOf('inq_1', 'evt_5', 0)
  const events = [redaction, claimOf('ver_1', 'inq_1', 'evt_6', -9), claimOf('ver_2', 'inq_1', 'evt_7', 9)]
  const storedClaims = [
    { objectId: 'ver_3', inquiryId: 'inq_1' },
    { objectId: 'ver_4', inquiryId: 'inq_2' },
  ]
  const { clock } = redaction
  t.strictSame(raised(events, NOTHING_KNOWN, storedClaims), { inq_1: clock, ver_1: clock, ver_2: clock, ver_3: clock })
})

t.test("the redacting event's own claims count", async (t) => {
  const event = redactionOf('inq_1', 'evt_5', 0, { included: [anObject('verification', 'ver_1')] })
  t.strictSame(raised([event]), { inq_1: event.clock, ver_1: event.clock })
})

t.test('a claim on an inquiry that was redacted earlier is reached by that redaction', async (t) => {
  const stored = clockAt(0, 'evt_1', 7)
  const known = { ...NOTHING_KNOWN, redactions: new Map([['inq_1', stored]]) }
  for (const shiftMs of [-5, 0, 5])
    t.strictSame(raised([claimOf('ver_1', 'inq_1', 'evt_5', shiftMs)], known), { ver_1: stored }, `${shiftMs} ms`)
  t.strictSame(raised([claimOf('ver_1', 'inq_2', 'evt_5', 0)], known), {}, 'another inquiry')
})

t.test('an erasure moves forward only', async (t) => {
  const event = redactionOf('inq_1', 'evt_5', 0, { included: [anObject('verification', 'ver_1')] })
  const erasedAt = (clock: Clock): ErasureState => ({
    objects: new Map([['ver_1', { family: 'verification', erasedAt: clock }]]),
    redactions: new Map(),
  })
  t.strictSame(raised([event], erasedAt(clockAt(-1, 'evt_1'))), { inq_1: event.clock, ver_1: event.clock })
  for (const clock of [event.clock, clockAt(1, 'evt_1')])
    t.strictSame(raised([event], erasedAt(clock)), { inq_1: event.clock }, JSON.stringify(clock))
})

t.test('an older redaction of an inquiry reaches nothing where a newer one is stored', async (t) => {
  const newer = clockAt(5, 'evt_9', 7)
  const known: ErasureState = {
    objects: new Map([['inq_1', { family: 'inquiry', erasedAt: newer }]]),
    redactions: new Map([['inq_1', newer]]),
  }
  t.strictSame(raised([redactionOf('inq_1', 'evt_5', 0)], known), {})
  t.strictSame(raised([redactionOf('inq_1', 'evt_5', 0), claimOf('ver_1', 'inq_1', 'evt_6', 0)], known), {
    ver_1: newer,
  })
})

t.test('an object that several redacted inquiries claimed is reached by the newest redaction', async (t) => {
  const events = [
    redactionOf('inq_1', 'evt_1', 0),
    redactionOf('inq_2', 'evt_2', 5),
    claimOf('ver_1', 'inq_1', 'evt_3', 9),
    claimOf('ver_1', 'inq_2', 'evt_4', 8),
  ]
  for (const order of permutationsOf(events)) t.strictSame(raised(order)['ver_1'], clockAt(5, 'evt_2', 7))
})

t.test('a redaction of an account reaches the account alone', async (t) => {
  const event = eventOf({
    id: 'evt_5',
    name: 'account.redacted',
    data: anObject('account', 'act_1'),
    included: [anObject('verification', 'ver_1'), anObject('inquiry', 'inq_1')],
  })
  t.strictSame(raised([event]), { act_1: event.clock })
})

/** Redactions, claims and a change of mind, over few objects. */
const history: readonly PersonaEvent[] = [
  redactionOf('inq_1', 'evt_1', 0, { included: [anObject('verification', 'ver_1')] }),
  redactionOf('inq_1', 'evt_2', 4),
  claimOf('ver_2', 'inq_1', 'evt_3', 6),
  claimOf('ver_2', 'inq_2', 'evt_4', 2),
  redactionOf('inq_2', 'evt_5', 9),
]

type World = { known: ErasureState; claims: readonly StoredClaim[] }

/** Stores a batch as the database does: what is raised replaces what is stored, and claims stay. */
function storeBatch({ known, claims }: World, events: readonly PersonaEvent[]): World {
  const redactions = newRedactions(events, known)
  const storedClaims = claims.filter(({ inquiryId }) => redactions.has(inquiryId))
  const erasures = raisedErasures({ events, known, redactions, storedClaims })
  const objects = new Map(known.objects)
  for (const [id, erasedAt] of erasures) objects.set(id, { family: 'resource', erasedAt })
  return {
    known: { objects, redactions: new Map([...known.redactions, ...redactions]) },
    claims: [...claims, ...events.flatMap((event) => event.claims)],
  }
}

const EMPTY: World = { known: NOTHING_KNOWN, claims: [] }
const erasuresOf = ({ known }: World): Readonly<Record<string, Clock | null>> =>
  Object.fromEntries(
    [...known.objects]
      .map(([id, { erasedAt }]) => [id, erasedAt] as const)
      .toSorted(([left], [right]) => compareBytes(left, right)),
  )

t.test('any order and grouping of events ends in the same erasures', async (t) => {
  const expected = { inq_1: clockAt(4, 'evt_2', 7), inq_2: clockAt(9, 'evt_5', 7), ver_1: clockAt(4, 'evt_2', 7), ver_2: clockAt(9, 'evt_5', 7) } // prettier-ignore
  const differing = permutationsOf(history).flatMap((order) =>
    [1, 2, 5].filter((size) => {
      let world = EMPTY
      for (let from = 0; from < order.length; from += size) world = storeBatch(world, order.slice(from, from + size))
      return JSON.stringify(erasuresOf(world)) !== JSON.stringify(expected)
    }),
  )
  t.strictSame(erasuresOf(storeBatch(EMPTY, history)), expected)
  t.strictSame(differing, [])
})

t.test('a batch that is stored already raises nothing', async (t) => {
  const { known, claims } = storeBatch(EMPTY, history)
  t.strictSame([...newRedactions(history, known)], [])
  t.strictSame(raised(history, known, claims), {})
})

t.test('an erasure is looked up in what is raised, then in what is stored', async (t) => {
  const [older, newer] = [clockAt(0, 'evt_1'), clockAt(5, 'evt_2')]
  const known: ErasureState = {
    objects: new Map([
      ['both', { family: 'resource', erasedAt: older }],
      ['stored', { family: 'resource', erasedAt: older }],
      ['neither', { family: 'resource', erasedAt: null }],
    ]),
    redactions: new Map([['inq_1', newer]]),
  }
  const lookup = erasureLookup(known, new Map([['both', newer], ['raised', newer]])) // prettier-ignore
  const found = ['both', 'stored', 'raised', 'neither', 'unknown', 'inq_1'].map(lookup)
  t.strictSame(found, [newer, older, newer, null, null, null])
})

t.test('rows of erasures and redactions hold a clock; an object that is not erased has none', async (t) => {
  const clock = clockAt(7, 'evt_1', 3)
  t.strictSame(objectRow('ver_1', 'verification', undefined), { id: 'ver_1', family: 'verification' })
  t.strictSame(objectRow('ver_1', 'verification', clock), {
    id: 'ver_1',
    family: 'verification',
    erased_event_id: 'evt_1',
    erased_created_at: '2026-02-03T10:00:00.007Z',
    erased_rank: 3,
  })
  t.strictSame(redactionRows(new Map([['inq_1', clock]])), [
    { inquiry_id: 'inq_1', event_id: 'evt_1', created_at: '2026-02-03T10:00:00.007Z', rank: 3 },
  ])
})
