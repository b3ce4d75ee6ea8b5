import { KeyRing, NO_KEYS } from '@persona-ingest/core'
import { claimStrength, foldEvents, type Clock, type ObjectFamily, type PersonaEvent } from '@persona-ingest/persona'
import t from 'tap'
import { decryptBytes, decryptDocument, PersonalBytes, PersonalJson, type Row } from '../../src/sql/row-values.ts'

import { writeParameters } from '../../src/store/plan-write.ts'
import type { StoredClocks } from '../../src/store/stored-state.ts'
import { writeSections, writeSql, type WriteSection } from '../../src/store/write-sql.ts'
import { eventOf, NOTHING_STORED, permutationsOf, planOf, rowsOf, stored } from '../fixtures/a-batch.ts'
import { anEvent, anObject, bodyOf, related, type EventParts } from '../fixtures/an-event.ts'
import { aKey } from '../fixtures/some-keys.ts'

const TIME_MS = Date.UTC(2026, 1, 3, 10)
const at = (shiftMs: number): string => new Date(TIME_MS + shiftMs).toISOString()
const CLOCK: Clock = { createdAtMs: TIME_MS, rank: 3, eventId: 'evt_5' }

const idsOf = (rows: readonly Row[]): readonly unknown[] => rows.map((row) => row['id'])

const about1 = eventOf({ id: 'evt_5', createdAt: at(0) })

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
  t.strictSame(planOf([about1], stored('inq_1', 'inquiry', {})).sections.objects, [])
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
  const objects = new Map<string, { family: ObjectFamily; erasedAt: null }>()
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
  t.equal(planOf([{ ...about1, claims }]).sections.claims.length, 2)
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
  const plan = planOf([about1], stored('ver_1', 'verification', { snapshot: CLOCK }), { erasures })
  const erased = { erased_event_id: 'evt_5', erased_created_at: at(0), erased_rank: 3 }
  t.strictSame(rowsOf(plan, 'objects'), [
    { id: 'inq_1', family: 'inquiry', ...erased },
    { id: 'ver_1', family: 'verification', ...erased },
  ])
  t.strictSame(plan.sections.verification, [], 'its row is reduced by the redaction itself')
})

t.test('redactions are written by inquiry', async (t) => {
  const plan = planOf([about1], NOTHING_STORED, { redactions: new Map([['inq_1', CLOCK]]) })
  t.strictSame(rowsOf(plan, 'redactions'), [{ inquiry_id: 'inq_1', event_id: 'evt_5', created_at: at(0), rank: 3 }])
})

t.test('the parameters are the sections in the order of the statement, then the epoch', async (t) => {
  const raised = { redactions: new Map([['inq_1', CLOCK]]) }
  const included = [anObject('verification', 'ver_1'), anObject('account', 'act_1')]
  const parameters = writeParameters(planOf([eventOf({ included })], NOTHING_STORED, raised), '42', NO_KEYS)
  t.equal(parameters.length, writeSections.length + 1)
  t.equal(parameters.at(-1), '42')
  t.match(writeSql, 'begin_shared_write($10::text::bigint)')
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
    [],
  ])
})

t.test('a batch of nothing writes nothing', async (t) => {
  t.strictSame(writeParameters(planOf([]), '7', NO_KEYS), [...writeSections.map(() => '[]'), '7'])
})
