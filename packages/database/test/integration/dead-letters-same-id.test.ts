import t from 'tap'
import { readReplayableDeadLetters } from '../../src/index.ts'
import { aDatabase, RECEIVED_AT_MS } from '../fixtures/a-database.ts'
import { anEvent, anObject, bodyOf } from '../fixtures/an-event.ts'
import { linesOf, verified } from '../fixtures/rebuilt.ts'

const database = await aDatabase(t)
const { url, sql, store, keepDeadLetter } = database
t.beforeEach(() => database.empty())

const deadLetters = (columns: string) => sql(`SELECT ${columns} FROM dead_letters ORDER BY id`)
const bodies = async () => (await deadLetters('body')).map(({ body }) => String(body)).toSorted()

const accepted = { eventId: 'evt_1', reason: 'ATTEMPTS_EXHAUSTED', error: 'no luck', attempts: 10 }
const quarantined = { eventId: 'evt_1', reason: 'PAYLOAD_INVALID', attempts: 0 }
const usable = bodyOf(anEvent())
const unusable = Buffer.from('{"data":{"id":"evt_1"}}')
const otherUnusable = Buffer.from('{"data":{"id":"evt_1","attributes":{"name":"x"}}}')
const inState = async (state: string) =>
  sql(`UPDATE dead_letters SET state = $1, resolved_at = CASE WHEN $1 <> 'open' THEN now() END`, [state])

for (const state of ['open', 'discarded', 'replayed']) {
  t.test(`an unusable body with the event id of an accepted event leaves its body: ${state}`, async (t) => {
    await keepDeadLetter({ ...accepted, body: usable })
    await inState(state)
    await keepDeadLetter({ ...quarantined, body: unusable })
    await keepDeadLetter({ ...quarantined, body: unusable })
    t.strictSame(await bodies(), [String(unusable), String(usable)].toSorted(), 'each of the bodies once')
    t.strictSame(
      (await deadLetters('event_id, reason, attempts, state')).map((row) => ({ ...row })),
      [
        { event_id: 'evt_1', reason: 'ATTEMPTS_EXHAUSTED', attempts: 10, state },
        { event_id: null, reason: 'PAYLOAD_INVALID', attempts: 0, state: 'open' },
      ],
    )
  })

  t.test(`an accepted event takes its row from an unusable body, which stays: ${state}`, async (t) => {
    await keepDeadLetter({ ...quarantined, body: unusable })
    await inState(state)
    await keepDeadLetter({ ...accepted, body: usable })
    await keepDeadLetter({ ...accepted, body: usable })
    t.strictSame(await bodies(), [String(unusable), String(usable)].toSorted())
    t.strictSame(await deadLetters('event_id, attempts, state'), [
      { event_id: null, attempts: 0, state },
      { event_id: 'evt_1', attempts: 10, state: 'open' },
    ])
    await store({ id: 'evt_1' })
    // The log holds the accepted event, and nothing of the unusable body.
    t.strictSame(await deadLetters('event_id, state'), [
      { event_id: null, state },
      { event_id: 'evt_1', state: 'replayed' },
    ])
    t.strictSame(linesOf(await verified(url)), [])
  })
}

t.test('two unusable bodies with one event id are both kept, one row for the event', async (t) => {
  for (const body of [unusable, otherUnusable, unusable, otherUnusable]) await keepDeadLetter({ ...quarantined, body })
  t.strictSame(await bodies(), [String(unusable), String(otherUnusable)].toSorted())
  t.strictSame(await deadLetters('event_id'), [{ event_id: 'evt_1' }, { event_id: null }])
})

t.test('an unusable body whose bytes are kept already takes no second row when it loses the event id', async (t) => {
  await keepDeadLetter({ ...accepted, eventId: null, body: unusable })
  await keepDeadLetter({ ...quarantined, body: unusable })
  t.equal((await deadLetters('id')).length, 2)
  await keepDeadLetter({ ...accepted, body: usable })
  t.strictSame(await deadLetters('event_id, body'), [
    { event_id: null, body: unusable },
    { event_id: 'evt_1', body: usable },
  ])
})

for (const [lost, kept, expected] of [
  ['open', 'discarded', 'open'],
  ['open', 'replayed', 'open'],
  ['discarded', 'discarded', 'discarded'],
] as const)
  t.test(`the row that stays for ${lost} bytes is ${expected} where it was ${kept}`, async (t) => {
    await keepDeadLetter({ ...quarantined, eventId: null, body: unusable })
    await inState(kept)
    await keepDeadLetter({ ...quarantined, body: unusable })
    await sql(`UPDATE dead_letters SET state = $1 WHERE event_id IS NOT NULL`, [lost])
    await keepDeadLetter({ ...accepted, body: usable })
    t.strictSame(await deadLetters('event_id, state, resolved_at IS NULL AS unresolved, body'), [
      { event_id: null, state: expected, unresolved: expected === 'open', body: unusable },
      { event_id: 'evt_1', state: 'open', unresolved: true, body: usable },
    ])
  })

t.test('two accepted events with one id but another time are both kept', async (t) => {
  const other = bodyOf(anEvent({ createdAt: '2026-02-03T09:00:00.000Z' }))
  for (const body of [usable, other, usable, other]) await keepDeadLetter({ ...accepted, body })
  t.strictSame(await deadLetters('event_id, body'), [
    { event_id: 'evt_1', body: usable },
    { event_id: null, body: other },
  ])
  const page = await readReplayableDeadLetters(database.opened, { reason: null }, { after: '0', nowMs: RECEIVED_AT_MS })
  t.strictSame(page.map(({ verdict }) => verdict), ['usable', 'other-letter']) // prettier-ignore
})

t.test('an event of another environment takes neither the row nor the environment of an accepted event', async (t) => {
  await keepDeadLetter({ ...accepted, body: usable })
  const sandbox = bodyOf(anEvent({ data: anObject('inquiry', 'inq_sandbox') }))
  for (const body of [usable, sandbox]) await keepDeadLetter({ ...accepted, environment: 'sandbox', body })
  t.strictSame(await deadLetters('event_id, environment, body'), [
    { event_id: 'evt_1', environment: 'production', body: usable },
    { event_id: null, environment: 'sandbox', body: usable },
    { event_id: null, environment: 'sandbox', body: sandbox },
  ])
})

t.test('an accepted body that can not be read any more leaves a readable one of its event', async (t) => {
  await keepDeadLetter({ ...accepted, body: usable })
  await keepDeadLetter({ ...accepted, attempts: 1, reason: 'NESTING_TOO_DEEP', body: unusable })
  t.strictSame(await deadLetters('event_id, body'), [
    { event_id: 'evt_1', body: usable },
    { event_id: null, body: unusable },
  ])
})

t.test('a letter that an erasure has reduced still guards its skeleton, an emptied one guards nothing', async (t) => {
  await keepDeadLetter({
    ...accepted,
    body: bodyOf(anEvent({ data: anObject('inquiry', 'inq_1', { attributes: { a: 1 } }) })),
  })
  await keepDeadLetter({
    ...quarantined,
    eventId: 'evt_2',
    body: Buffer.from('{"data":{"id":"evt_2"},"x":{"id":"inq_1"}}'),
  })
  await store({ id: 'evt_9', name: 'inquiry.redacted', createdAt: '2026-02-03T11:00:00.000Z' })
  t.equal(
    (await deadLetters('body_digest')).every((row) => row['body_digest'] === null),
    true,
    'no digest is left',
  )
  await keepDeadLetter({ ...quarantined, body: unusable })
  await keepDeadLetter({ ...accepted, eventId: 'evt_2', body: bodyOf(anEvent({ id: 'evt_2' })) })
  t.match(await deadLetters('event_id, attempts'), [
    { event_id: 'evt_1', attempts: 10 },
    { event_id: 'evt_2', attempts: 10 },
    { event_id: null, attempts: 0 },
  ])
  t.strictSame(linesOf(await verified(url)), [])
})
