import { eventually } from '@persona-ingest/testkit'
import { Client } from 'pg'
import t from 'tap'
import { openDatabase, readReplayableDeadLetters, storeDeadLetter, tryWriting } from '../../src/index.ts'
import { inExclusiveWrite } from '../../src/sql/write-transactions.ts'
import { aDatabase, RECEIVED_AT_MS } from '../fixtures/a-database.ts'
import { anEvent, anObject, bodyOf } from '../fixtures/an-event.ts'
import { linesOf, verified } from '../fixtures/rebuilt.ts'

const database = await aDatabase(t, { connections: 8 })
const { url, sql, store, keepDeadLetter } = database
t.beforeEach(() => database.empty())
const rebuildFinds = async () => linesOf(await verified(url))

const failed = {
  eventId: 'evt_1',
  reason: 'ATTEMPTS_EXHAUSTED',
  error: 'no luck',
  attempts: 10,
  body: bodyOf(anEvent()),
}
const states = async () => (await sql('SELECT state FROM dead_letters ORDER BY id')).map(({ state }) => state)

/** A transaction of somebody else's that holds what its statement locks, until it is released. */
async function holding(statement: string) {
  const client = new Client({ connectionString: url })
  await client.connect()
  t.teardown(() => client.end())
  await client.query('BEGIN')
  await client.query(statement)
  return async (end = 'COMMIT') => void (await client.query(end))
}
const waiting = async (count: number) =>
  eventually(async () => {
    const found = await sql(`SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()`) // prettier-ignore
    return found.length === count
  })

t.test('a letter that is written while the statement of its event waits is marked replayed', async (t) => {
  await store({ id: 'evt_0', createdAt: '2026-02-03T09:00:00.000Z' })
  const release = await holding(`SELECT 1 FROM inquiries WHERE id = 'inq_1' FOR UPDATE`)
  const storing = store({ id: 'evt_1' })
  await waiting(1)
  await keepDeadLetter(failed)
  t.strictSame(await states(), ['open'])
  await release()
  await storing
  t.strictSame(await states(), ['replayed'])
  t.strictSame(await rebuildFinds(), [])
})

for (const first of ['letter', 'event']) {
  t.test(`a dead letter and its event are written at the same time, the ${first} first`, async (t) => {
    await keepDeadLetter(failed)
    const release = await holding(`SELECT 1 FROM dead_letters WHERE event_id = 'evt_1' FOR UPDATE`)
    const works = [async () => keepDeadLetter(failed), async () => store({ id: 'evt_1' })]
    if (first === 'event') works.reverse()
    const running: Promise<unknown>[] = []
    for (const work of works) {
      running.push(work())
      await waiting(running.length)
    }
    await release()
    await Promise.all(running)
    t.strictSame(await states(), ['replayed'])
    t.strictSame(await rebuildFinds(), [])
  })
}

t.test('many letters and their events at the same time leave no letter open', async (t) => {
  const ids = Array.from({ length: 120 }, (_, index) => `evt_${index}`)
  const data = (id: string) => anObject('inquiry', `inq_${id}`)
  const letterOf = (id: string) =>
    keepDeadLetter({ ...failed, eventId: id, body: bodyOf(anEvent({ id, data: data(id) })) })
  const batches = Array.from({ length: 12 }, (_, at) => ids.slice(at * 10, at * 10 + 10))
  await Promise.all([
    ...ids.map(async (id) => letterOf(id)),
    ...batches.map(async (batch) => store(...batch.map((id) => ({ id, data: data(id) })))),
  ])
  t.strictSame(new Set(await states()), new Set(['replayed']))
  t.strictSame(await rebuildFinds(), [])
})

t.test('more letters at once than there are connections, and each is written', async (t) => {
  const one = openDatabase({ url, encryptionKeys: [], connections: 3 })
  t.teardown(() => one.close())
  const bodies = Array.from({ length: 400 }, (_, index) => Buffer.from(`deadLetter ${index}`))
  await Promise.all(bodies.map(async (body) => storeDeadLetter(one, { ...failed, eventId: null, environment: 'production', receivedAtMs: 0, body }))) // prettier-ignore
  t.equal((await states()).length, bodies.length)
})

t.test('a redaction and its letter at the same time leave no letter open', async (t) => {
  const ids = Array.from({ length: 20 }, (_, index) => `evt_${index}`)
  const parts = (id: string) => ({ id, name: 'inquiry.redacted', data: anObject('inquiry', `inq_${id}`) })
  await Promise.all(
    ids.flatMap((id) => [
      keepDeadLetter({ ...failed, eventId: id, body: bodyOf(anEvent(parts(id))) }),
      store(parts(id)),
    ]),
  )
  t.strictSame(new Set(await states()), new Set(['replayed']))
  t.strictSame(await rebuildFinds(), [])
})

t.test('a duplicate marks its letter replayed beside new events of the same batch', async (t) => {
  await store({ id: 'evt_1' })
  await keepDeadLetter(failed)
  await sql(`UPDATE dead_letters SET state = 'open', resolved_at = NULL`)
  const outcomes = await store({ id: 'evt_1' }, { id: 'evt_2', data: anObject('inquiry', 'inq_2') })
  t.strictSame([...outcomes], [['evt_1', 'duplicate'], ['evt_2', 'applied']]) // prettier-ignore
  t.strictSame(await states(), ['replayed'])
  t.strictSame(await rebuildFinds(), [])
})

t.test('a letter and the canary are written in a storm of redactions', async (t) => {
  const over = new AbortController()
  const storm = (async () => {
    while (!over.signal.aborted) await inExclusiveWrite(database.opened.sql, 'event', async () => undefined)
  })()
  const deadLetters = Array.from({ length: 10 }, (_, index) => Buffer.from(`deadLetter ${index}`))
  for (const body of deadLetters) {
    await t.resolves(storeDeadLetter(database.opened, { ...failed, eventId: null, environment: 'production', receivedAtMs: 0, body })) // prettier-ignore
    await t.resolves(tryWriting(database.opened))
  }
  over.abort()
  await storm
  t.equal((await states()).length, deadLetters.length)
})

t.test('equal bytes that arrive at the same time are one letter', async (t) => {
  await Promise.all(
    Array.from({ length: 20 }, async (_, index) => keepDeadLetter({ body: Buffer.from(`bytes ${index % 2}`) })),
  )
  t.equal((await states()).length, 2)
})

const twoOfOneEvent = async () => {
  const bodies = [bodyOf(anEvent()), bodyOf(anEvent({ createdAt: '2026-02-03T09:00:00.000Z' }))]
  for (const body of bodies) await keepDeadLetter({ body })
  return (await sql('SELECT id::text AS id FROM dead_letters ORDER BY id')).map(({ id }) => String(id))
}
const judged = async (ids: readonly string[]) =>
  (await readReplayableDeadLetters(database.opened, { ids }, { after: '0', nowMs: RECEIVED_AT_MS })).map(
    ({ verdict }) => verdict,
  )

for (const [end, verdict] of [
  ['COMMIT', 'other-letter'],
  ['ROLLBACK', 'usable'],
] as const) {
  t.test(`two dead letters take one event id at the same time, and the first ends in ${end}`, async (t) => {
    const [first = '', second = ''] = await twoOfOneEvent()
    const release = await holding(`UPDATE dead_letters SET event_id = 'evt_1' WHERE id = ${first}`)
    const judging = judged([second])
    await waiting(1)
    await release(end)
    t.strictSame(await judging, [verdict])
    const owner = end === 'COMMIT' ? first : second
    t.strictSame(await sql(`SELECT id::text AS id FROM dead_letters WHERE event_id = 'evt_1'`), [{ id: owner }])
  })
}

t.test('one of many replays at the same time takes the event id for its letter', async (t) => {
  for (let round = 0; round < 10; round += 1) {
    await database.empty()
    const ids = await twoOfOneEvent()
    const verdicts = await Promise.all([...ids, ...ids, ...ids].map(async (id) => judged([id])))
    t.strictSame(new Set(verdicts.flat()), new Set(['usable', 'other-letter']))
    t.equal((await sql('SELECT 1 FROM dead_letters WHERE event_id IS NOT NULL')).length, 1)
  }
  await store({ id: 'evt_1' })
  t.strictSame(await rebuildFinds(), [])
})
