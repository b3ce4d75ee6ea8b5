import { KeyRing, NO_KEYS } from '@persona-ingest/core'
import { claimStrength, foldEvents, type ClaimStrength, type Clock, type PersonaEvent } from '@persona-ingest/persona'
import t from 'tap'
import { decryptBytes, decryptDocument } from '../../src/sql/encrypted-values.ts'
import { encodeRows, PersonalBytes, PersonalJson, type Row } from '../../src/sql/rows.ts'
import { planWrite, writeParameters, type WritePlan } from '../../src/store/plan-write.ts'
import type { StoredClocks, StoredState } from '../../src/store/stored-state.ts'
import { writeSections, writeSql, type WriteSection } from '../../src/store/write-sql.ts'
import { eventOf, NOTHING_STORED, permutationsOf } from '../fixtures/a-batch.ts'
import { anEvent, anObject, bodyOf, related, type EventParts } from '../fixtures/an-event.ts'
import { aKey } from '../fixtures/some-keys.ts'

const TIME_MS = Date.UTC(2026, 1, 3, 10)
const at = (shiftMs: number): string => new Date(TIME_MS + shiftMs).toISOString()
const CLOCK: Clock = { createdAtMs: TIME_MS, rank: 3, eventId: 'evt_5' }

type Family = 'inquiry' | 'verification' | 'resource'

/** The stored state of a database that holds one row with these clocks; all others are null. */
function stored(id: string, family: Family, clocks: Partial<StoredClocks>): StoredState {
  const none = { snapshot: null, status: null, reference: null, claim: null }
  return {
    ...NOTHING_STORED,
    objects: new Map([[id, { family, erasedAt: null }]]),
    clocks: new Map([[id, { ...none, ...clocks }]]),
  }
}

type Raised = { readonly redactions?: ReadonlyMap<string, Clock>; readonly erasures?: ReadonlyMap<string, Clock> }

function planOf(events: readonly PersonaEvent[], known: StoredState = NOTHING_STORED, raised: Raised = {}): WritePlan {
  return planWrite({ events, known, redactions: new Map(), erasures: new Map(), ...raised })
}

/** The rows of a section as PostgreSQL reads them. */
function rowsOf({ sections }: WritePlan, section: WriteSection): readonly Readonly<Record<string, unknown>>[] {
  return JSON.parse(encodeRows(sections[section], NO_KEYS)) as readonly Readonly<Record<string, unknown>>[]
}

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

t.test('an object that is not stored gets a row and an entry with its family', async (t) => {
  const included = [anObject('verification/selfie', 'ver_1'), anObject('report/watchlist', 'rep_1')]
  const data = anObject('inquiry', 'inq_1', { relationships: { account: related(['account', 'act_1']) } })
  const plan = planOf([eventOf({ id: 'evt_5', createdAt: at(0), data, included })])
  t.strictSame(rowsOf(plan, 'objects'), [
    { id: 'act_1', family: 'resource' },
    { id: 'inq_1', family: 'inquiry' },
    { id: 'rep_1', family: 'resource' },
    { id: 'ver_1', family: 'verification' },
  ])
  t.strictSame(idsOf(plan.sections.inquiry), ['inq_1'])
  t.strictSame(idsOf(plan.sections.verification), ['ver_1'])
  t.strictSame(idsOf(plan.sections.resource), ['act_1', 'rep_1'])
  t.strictSame(plan.moves, [])
})

t.test('an object that is stored gets no entry again', async (t) => {
  t.strictSame(planOf([snapshotOnly], stored('inq_1', 'inquiry', {})).sections.objects, [])
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

/** A batch that names few objects in many places; its ids are in no order. */
const mixed: readonly PersonaEvent[] = (
  [
    { id: 'evt_d', createdAt: at(2), data: anObject('inquiry', 'inq_2') },
    { id: 'evt_a', createdAt: at(1), name: 'inquiry.approved', data: anObject('inquiry', 'inq_1'), included: [anObject('verification', 'ver_2'), anObject('verification', 'ver_1')] },
    { id: 'evt_c', createdAt: at(2), name: 'inquiry.created', data: anObject('inquiry', 'inq_1', { attributes: { status: 'created' } }), included: [anObject('verification', 'ver_1')] },
    { id: 'evt_b', createdAt: at(2), name: 'inquiry.created', data: anObject('inquiry', 'inq_10', { relationships: { account: related(['account', 'act_1']) } }) },
  ] satisfies EventParts[]
).map((parts) => eventOf(parts)) // prettier-ignore

t.test('the rows of a batch are in the order of their ids, one a row, whatever the order of delivery', async (t) => {
  for (const events of permutationsOf(mixed)) {
    const { sections } = planOf(events)
    t.strictSame(idsOf(sections.inquiry), ['inq_1', 'inq_10', 'inq_2'])
    t.strictSame(idsOf(sections.verification), ['ver_1', 'ver_2'])
    t.strictSame(idsOf(sections.objects), ['act_1', 'inq_1', 'inq_10', 'inq_2', 'ver_1', 'ver_2'])
  }
})

t.test('the events of a batch are in the order of the clock', async (t) => {
  for (const events of permutationsOf(mixed))
    t.strictSame(idsOf(planOf(events).sections.events), ['evt_a', 'evt_b', 'evt_c', 'evt_d'])
})

t.test('the plan of a batch is the same in every order of delivery', async (t) => {
  const expected = writeParameters(planOf(mixed), '0', NO_KEYS).join('\n')
  for (const events of permutationsOf(mixed))
    t.equal(writeParameters(planOf(events), '0', NO_KEYS).join('\n'), expected)
})

t.test('a row takes each part from the newest event that tells of it', async (t) => {
  const [inquiry] = rowsOf(planOf(mixed), 'inquiry')
  t.match(inquiry, { id: 'inq_1', status: 'created', event_id: 'evt_c', status_event_id: 'evt_c' })
  const silent = eventOf({ id: 'evt_e', createdAt: at(3), data: anObject('inquiry', 'inq_1') })
  const [later] = rowsOf(planOf([silent, ...mixed]), 'inquiry')
  t.match(later, { id: 'inq_1', status: 'created', event_id: 'evt_e', status_event_id: 'evt_c' })
})

t.test('a batch that is stored already changes no row', async (t) => {
  const clocks = new Map<string, StoredClocks>()
  const objects = new Map<string, { family: Family; erasedAt: null }>()
  for (const [id, { snapshot, status, reference, claim }] of foldEvents(mixed)) {
    const clockOf = (part: { clock: Clock } | null) => part?.clock ?? null
    clocks.set(id, { snapshot: clockOf(snapshot), status: clockOf(status), reference: clockOf(reference), claim })
    objects.set(id, { family: snapshot?.value.family ?? 'resource', erasedAt: null })
  }
  const { sections, moves } = planOf(mixed, { ...NOTHING_STORED, clocks, objects })
  for (const section of ['objects', 'inquiry', 'verification', 'resource'] as const)
    t.strictSame(sections[section], [], section)
  t.strictSame(moves, [])
})

t.test('claims and the objects of events are written once each, in order', async (t) => {
  const plan = planOf(mixed)
  t.strictSame(rowsOf(plan, 'claims'), [
    { inquiry_id: 'inq_1', object_id: 'ver_1' },
    { inquiry_id: 'inq_1', object_id: 'ver_2' },
  ])
  const eventObjects = [
    { object_id: 'ver_1', event_id: 'evt_a' },
    { object_id: 'ver_1', event_id: 'evt_c' },
    { object_id: 'ver_2', event_id: 'evt_a' },
  ]
  t.strictSame(rowsOf(plan, 'eventObjects'), eventObjects, 'without payload.data, which events name themselves')
  const twice = mixed.map((event) => ({ ...event, included: [...event.included, ...event.included] }))
  t.strictSame(rowsOf(planOf(twice), 'eventObjects'), eventObjects)
})

t.test('ids that give one text when they are joined are kept apart', async (t) => {
  const claim = { strength: claimStrength.byObject }
  const claims = [{ ...claim, inquiryId: 'a,b', objectId: 'c' }, { ...claim, inquiryId: 'a', objectId: 'b,c' }] // prettier-ignore
  t.equal(planOf([{ ...snapshotOnly, claims }]).sections.claims.length, 2)
})

t.test('an event keeps its clock, its object and the statement of its status', async (t) => {
  const data = anObject('verification/selfie', 'ver_1', {
    attributes: { status: 'passed' },
    relationships: { inquiry: related(['inquiry', 'inq_1']) },
  })
  const event = eventOf({ id: 'evt_5', name: 'verification.passed', createdAt: at(7), data })
  const [row] = rowsOf(planOf([event]), 'events')
  t.strictSame(row, {
    id: 'evt_5',
    environment: 'production',
    name: 'verification.passed',
    created_at: '2026-02-03T10:00:00.007Z',
    rank: 4,
    resource_type: 'verification/selfie',
    resource_id: 'ver_1',
    inquiry_id: 'inq_1',
    status: 'passed',
    payload: anEvent({ id: 'evt_5', name: 'verification.passed', createdAt: at(7), data }),
    received_at: '2026-02-03T10:00:30.000Z',
  })
})

const TWICE = bodyOf(anEvent({ id: 'evt_5' })).toString().replace(/\}$/, ',"twice":1,"twice":2}') // prettier-ignore

t.test('the delivered bytes are kept where the payload loses something of them', async (t) => {
  const bodies = { 'a key that stands twice': Buffer.from(TWICE), 'a byte order mark': Buffer.from(`\ufeff${JSON.stringify(anEvent({ id: 'evt_5' }))}`) } // prettier-ignore
  for (const [name, body] of Object.entries(bodies)) {
    const [row] = rowsOf(planOf([eventOf({}, body)]), 'events')
    t.equal(row?.['original_body'], `\\x${body.toString('hex')}`, name)
  }
  t.equal(planOf([eventOf({ id: 'evt_5' })]).sections.events[0]?.['original_body'], null)
})

t.test('with keys, payload, delivered bytes and documents are encrypted for their own places', async (t) => {
  const keys = new KeyRing([aKey('a')])
  const body = Buffer.from(TWICE.replace('"attributes":{}', '"attributes":{"name-first":"MARK"}'))
  const event = eventOf({}, body)
  const plan = planOf([event])
  const [events = '', , , , inquiries = ''] = writeParameters(plan, '0', keys)
  t.notMatch(writeParameters(plan, '0', keys).join(''), 'MARK')
  const [row] = JSON.parse(events) as [{ payload: string; original_body: string }]
  t.equal(decryptDocument(JSON.stringify(row.payload), ['events', 'evt_5', 'payload'], keys), event.payloadText)
  const bytes = Buffer.from(row.original_body.slice(2), 'hex')
  t.ok(Buffer.from(decryptBytes(bytes, ['events', 'evt_5', 'original_body'], keys)).equals(body))
  const [inquiry] = JSON.parse(inquiries) as [{ attributes: string; fields: object }]
  const attributes = decryptDocument(JSON.stringify(inquiry.attributes), ['inquiries', 'inq_1', 'attributes'], keys)
  t.equal(attributes, '{"name_first":"MARK"}')
  t.strictSame(inquiry.fields, {}, 'an empty document stays plain')
})

t.test('every personal value of a plan names the table, the row and the column that it goes into', async (t) => {
  const tables: Partial<Record<WriteSection, string>> = { events: 'events', inquiry: 'inquiries', verification: 'verifications', resource: 'resources' } // prettier-ignore
  const included = [anObject('verification', 'ver_1'), anObject('account', 'act_1')]
  const { sections } = planOf([eventOf({ included }, Buffer.from(TWICE)), ...mixed])
  const places: string[] = []
  for (const [section, table] of Object.entries(tables)) {
    for (const row of sections[section as WriteSection]) {
      for (const [column, value] of Object.entries(row)) {
        if (!(value instanceof PersonalJson || value instanceof PersonalBytes)) continue
        t.strictSame(value.place, [table, row['id'], column])
        places.push(`${table} ${column}`)
      }
    }
  }
  t.strictSame([...new Set(places)].toSorted(), ['events original_body', 'events payload', 'inquiries attributes', 'inquiries fields', 'verifications attributes']) // prettier-ignore
})

t.test('an erasure is noted with its object, stored or new, and with no object that nothing is known of', async (t) => {
  const erasures = new Map([['inq_1', CLOCK], ['ver_1', CLOCK], ['unknown', CLOCK]]) // prettier-ignore
  const plan = planOf([snapshotOnly], stored('ver_1', 'verification', { snapshot: NEWEST }), { erasures })
  const erased = { erased_event_id: 'evt_5', erased_created_at: at(0), erased_rank: 3 }
  t.strictSame(rowsOf(plan, 'objects'), [
    { id: 'inq_1', family: 'inquiry', ...erased },
    { id: 'ver_1', family: 'verification', ...erased },
  ])
  t.strictSame(plan.sections.verification, [], 'its row is reduced by the redaction itself')
})

t.test('an erasure of an object that moves is noted with the new family', async (t) => {
  const known = stored('obj_1', 'resource', { snapshot: beforeIt })
  const { sections } = planOf([asVerification], known, { erasures: new Map([['obj_1', CLOCK]]) })
  t.match(sections.objects, [{ id: 'obj_1', family: 'verification' }])
})

t.test('redactions are written by inquiry', async (t) => {
  const plan = planOf([snapshotOnly], NOTHING_STORED, { redactions: new Map([['inq_1', CLOCK]]) })
  t.strictSame(rowsOf(plan, 'redactions'), [{ inquiry_id: 'inq_1', event_id: 'evt_5', created_at: at(0), rank: 3 }])
})

t.test('the parameters are the sections in the order of the statement, then the epoch', async (t) => {
  const raised = { redactions: new Map([['inq_1', CLOCK]]) }
  const included = [anObject('verification', 'ver_1'), anObject('account', 'act_1')]
  const parameters = writeParameters(planOf([eventOf({ included })], NOTHING_STORED, raised), '42', NO_KEYS)
  t.equal(parameters.length, writeSections.length + 1)
  t.equal(parameters.at(-1), '42')
  t.match(writeSql, 'begin_shared_write($9::text::bigint)')
  const rows = parameters.slice(0, -1).map((text) => JSON.parse(text) as Readonly<Record<string, unknown>>[])
  t.match(rows, [
    [{ id: 'evt_1', payload: {} }],
    [{ family: 'resource' }, { family: 'inquiry' }, { family: 'verification' }],
    [{ inquiry_id: 'inq_1', object_id: 'ver_1' }],
    [{ object_id: 'act_1', event_id: 'evt_1' }, { object_id: 'ver_1' }],
    [{ id: 'inq_1', fields: {} }],
    [{ id: 'ver_1', checks: [] }],
    [{ id: 'act_1', type: 'account' }],
    [{ inquiry_id: 'inq_1', event_id: 'evt_5' }],
  ])
})

t.test('a batch of nothing writes nothing', async (t) => {
  t.strictSame(writeParameters(planOf([]), '7', NO_KEYS), [...writeSections.map(() => '[]'), '7'])
})
