import t from 'tap'
import { countOpenDeadLetters, readDeadLetter } from '../../src/index.ts'
import { aDatabase, RECEIVED_AT_MS } from '../fixtures/a-database.ts'
import { anEvent, anObject, bodyOf } from '../fixtures/an-event.ts'
import { partOf } from '../fixtures/part-of.ts'

const database = await aDatabase(t)
const { sql, row, store, keepDeadLetter } = database
t.beforeEach(() => database.empty())

const deadLetters = (columns: string) => sql(`SELECT ${columns} FROM dead_letters ORDER BY id`)
const failed = { eventId: 'evt_1', reason: 'ATTEMPTS_EXHAUSTED', error: 'no luck', attempts: 10 }
const body = bodyOf(anEvent({ included: [] }))

// @see docs/contract.md#4-database-postgresql-schema-public
t.test('a letter holds what is documented of it, byte for byte', async (t) => {
  const bytes = Buffer.from([0xff, 0x00, 0x7b, 0x22, 0xc3, 0x28, 0x0a])
  await keepDeadLetter({ body: bytes, environment: 'sandbox', reason: 'INVALID_JSON', error: 'words' })
  const found = await row('SELECT * FROM dead_letters')
  const expected = {
    event_id: null, environment: 'sandbox', reason: 'INVALID_JSON', error: 'words', body: bytes, attempts: 0,
    received_at: new Date(RECEIVED_AT_MS), state: 'open', resolved_at: null,
  } // prettier-ignore
  t.strictSame(partOf(found, expected), expected)
  t.ok(Math.abs((found['failed_at'] as Date).getTime() - Date.now()) < 60_000)
})

t.test('one letter per distinct bytes where no id can be read', async (t) => {
  await keepDeadLetter({ body: Buffer.from('a') })
  await keepDeadLetter({ body: Buffer.from('b') })
  await keepDeadLetter({ body: Buffer.from('a') })
  await keepDeadLetter({ body: Buffer.alloc(0) })
  await keepDeadLetter({ body: Buffer.alloc(0) })
  t.strictSame(
    (await deadLetters('body')).map((deadLetter) => String(deadLetter['body'])),
    ['a', 'b', ''],
  )
})

t.test('one letter per event id, which tells of the last failure and the first receipt', async (t) => {
  await keepDeadLetter({ ...failed, body })
  const before = await row('SELECT id, received_at FROM dead_letters')
  const again = Buffer.from(`${body.toString()} `)
  await keepDeadLetter({ ...failed, body: again, reason: 'VALUE_REFUSED', error: 'other', attempts: 1, receivedAtMs: RECEIVED_AT_MS + 5 }) // prettier-ignore
  const expected = { ...before, reason: 'VALUE_REFUSED', error: 'other', attempts: 1, body: again, state: 'open' }
  t.strictSame(
    (await deadLetters('*')).map((deadLetter) => partOf(deadLetter, expected)),
    [expected],
  )
})

t.test('equal bytes of two events are two letters', async (t) => {
  for (const eventId of ['evt_1', 'evt_2', null]) await keepDeadLetter({ ...failed, eventId, body })
  t.equal((await deadLetters('id')).length, 3)
})

t.test('an event that fails again after it was discarded is open again', async (t) => {
  await keepDeadLetter({ ...failed, body })
  await sql(`UPDATE dead_letters SET state = 'discarded', resolved_at = now()`)
  await keepDeadLetter({ ...failed, body })
  t.strictSame(await deadLetters('state, resolved_at'), [{ state: 'open', resolved_at: null }])
})

for (const state of ['open', 'discarded']) {
  t.test(`an ${state} dead letter is marked replayed when its event is stored`, async (t) => {
    await keepDeadLetter({ ...failed, body })
    await keepDeadLetter({ ...failed, eventId: 'evt_other', body })
    await sql(`UPDATE dead_letters SET state = $1, resolved_at = '2026-01-01'`, [state])
    await store({ id: 'evt_1' })
    t.strictSame(await deadLetters(`event_id, state, resolved_at > '2026-01-01' AS is_new`), [
      { event_id: 'evt_1', state: 'replayed', is_new: true },
      { event_id: 'evt_other', state, is_new: false },
    ])
  })
}

t.test('a letter is marked replayed by a redaction, and by a duplicate', async (t) => {
  await keepDeadLetter({ ...failed, body })
  await store({ id: 'evt_1', name: 'inquiry.redacted' })
  t.strictSame(await deadLetters('state'), [{ state: 'replayed' }])
  await sql(`UPDATE dead_letters SET state = 'open', resolved_at = NULL`)
  t.equal((await store({ id: 'evt_1' })).get('evt_1'), 'duplicate')
  t.strictSame(await deadLetters('state'), [{ state: 'replayed' }])
})

t.test('a letter of an event that is stored already is no failure any more', async (t) => {
  await store({ id: 'evt_1' })
  await keepDeadLetter({ ...failed, body })
  t.strictSame(await deadLetters('state, resolved_at IS NOT NULL AS resolved'), [{ state: 'replayed', resolved: true }])
})

t.test('a quarantined body that bears the id of a stored event is kept open', async (t) => {
  await store({ id: 'evt_1' })
  await keepDeadLetter({ body: Buffer.from('{"data":{"id":"evt_1"}}'), eventId: 'evt_1', reason: 'PAYLOAD_INVALID' })
  t.strictSame(await deadLetters('state'), [{ state: 'open' }])
})

t.test('many writers of one letter, while its event is stored', async (t) => {
  const writes = Array.from({ length: 20 }, (_, index) =>
    index === 7 ? store({ id: 'evt_1' }) : keepDeadLetter({ ...failed, body }),
  )
  await Promise.all(writes)
  t.strictSame(await deadLetters('state'), [{ state: 'replayed' }])
})

t.test('a letter of 2 MiB that names thousands of objects', async (t) => {
  const included = Array.from({ length: 20_000 }, (_, index) =>
    anObject('document/generic', `doc_${index}_${'x'.repeat(40)}`),
  )
  const large = bodyOf(anEvent({ included }))
  t.ok(large.length > 2_000_000)
  await keepDeadLetter({ ...failed, body: large })
  t.ok(large.equals((await row('SELECT body FROM dead_letters'))['body'] as Buffer))
})

for (const unit of ['a', '\\\\']) {
  t.test(
    `a dead letter of 16 MiB whose id is one string of ${unit} is kept, and the objects that it names are found`,
    async (t) => {
      const long = unit.repeat((16 * 1024 * 1024) / unit.length)
      await keepDeadLetter({ body: Buffer.from(`{"id":"${long}"},"id": "inq_1",`) })
      t.strictSame(await deadLetters('object_ids'), [{ object_ids: ['inq_1'] }])
    },
  )
}

t.test('open letters are counted by reason', async (t) => {
  await keepDeadLetter({ body: Buffer.from('a') })
  await keepDeadLetter({ body: Buffer.from('b') })
  await keepDeadLetter({ ...failed, body })
  await keepDeadLetter({ ...failed, eventId: 'evt_2', body })
  await sql(`UPDATE dead_letters SET state = 'discarded' WHERE event_id = 'evt_2'`)
  const counts = await countOpenDeadLetters(database.opened)
  t.strictSame(
    counts.toSorted((left, right) => (left.reason < right.reason ? -1 : 1)),
    [
      { reason: 'ATTEMPTS_EXHAUSTED', count: 1 },
      { reason: 'INVALID_JSON', count: 2 },
    ],
  )
})

t.test('a letter can be read as the event it is', async (t) => {
  const deadLetter = { environment: 'sandbox', receivedAtMs: RECEIVED_AT_MS } as const
  t.equal(readDeadLetter({ ...deadLetter, body })?.id, 'evt_1')
  t.equal(readDeadLetter({ ...deadLetter, body: Buffer.from('{') }), null)
  const deep = `${'['.repeat(100_000)}${']'.repeat(100_000)}`
  t.equal(readDeadLetter({ ...deadLetter, body: Buffer.from(body.toString().replace('[]', deep)) }), null)
})
