import { throwAwayDatabase, throwAwayRedis } from '@persona-ingest/testkit'
import t from 'tap'
import { aMarkedDelivery, ANY_MARK, PERSONAL_MARK } from '../fixtures/a-marked-event.ts'
import { aQueue } from '../fixtures/a-worker.ts'
import { aDelivery, deliveries } from '../fixtures/an-event.ts'

const redis = await throwAwayRedis(t)
const { url, sql } = await throwAwayDatabase(t)
const queue = aQueue(t, { redisUrl: redis.url, databaseUrl: url })
const worker = queue.startWorker()

const TABLES = ['events', 'inquiries', 'verifications', 'resources', 'objects', 'claims', 'event_objects', 'redactions']
/** Set by us, whatever an event tells; numbers are ranks of ours. */
const OURS =
  /\.(environment|outcome|processed_at|pruned_at|received_at|family|.*_?rank|claim_strength|version|was_changed|previous_status)$/
/** The bytes kept beside the payload (a bytea refuses nothing), and the type that decides which table is reached. */
const NEVER_MARKED = ['events.original_body', 'events.resource_type']
/** Reached by redactions alone. */
const OF_REDACTIONS = /^(redactions\.|objects\.erased_|inquiries\.redacted_at)/
/** The clock of a reference is kept of objects that have no snapshot: in these tables the marked event tells one. */
const WITHOUT_SNAPSHOT = /^(inquiries|verifications)\.reference_(event_id|created_at)$/
/** Kept of an object that was a verification before it is told as an inquiry: here no object changes its kind. */
const OF_CHANGED_KIND = /^inquiries\.claim_/

async function columns(): Promise<readonly string[]> {
  const found = await sql(`SELECT table_name || '.' || column_name AS name FROM information_schema.columns
    WHERE table_schema = 'public' AND table_name = ANY($1) ORDER BY 1`, [TABLES]) // prettier-ignore
  return found.map(({ name }) => String(name))
}

/** Lets a column refuse every value that holds a mark, with an error whose text quotes the whole row. */
async function refuseMarks(column: string): Promise<() => Promise<unknown>> {
  const [table, name] = column.split('.') as [string, string]
  await sql(`ALTER TABLE ${table} ADD CONSTRAINT no_marks CHECK ("${name}"::text !~ '${ANY_MARK}') NOT VALID`)
  return async () => sql(`ALTER TABLE ${table} DROP CONSTRAINT no_marks`)
}

t.test('a value that any one column refuses makes its event a dead letter, and harms no other', async (t) => {
  const names = (await columns()).filter((name) => !OURS.test(name) && !NEVER_MARKED.includes(name))
  const reached = names.filter((name) => !WITHOUT_SNAPSHOT.test(name) && !OF_CHANGED_KIND.test(name))
  for (const column of reached) {
    const allow = await refuseMarks(column)
    const poison = aMarkedDelivery(column.replace('.', '-'), { isRedaction: OF_REDACTIONS.test(column) })
    const neighbours = deliveries(30, column.replace('.', '-'))
    await queue.enqueue([...neighbours.slice(0, 11), poison, ...neighbours.slice(11)])
    await queue.isEmpty()
    await allow()
    const [deadLetter] = await sql('SELECT * FROM dead_letters WHERE event_id = $1', [poison.eventId])
    if (deadLetter === undefined) {
      t.fail(`${column} is not reached`)
      continue
    }
    t.match(deadLetter, { reason: 'VALUE_REFUSED', attempts: 1, state: 'open' }, column)
    t.equal(deadLetter['error'], 'a check of the table refuses the value (SQLSTATE 23514)')
    t.ok(Buffer.from(poison.body).equals(deadLetter['body'] as Buffer), 'its bytes are kept')
    const stored = await sql('SELECT id FROM events WHERE id = ANY($1)', [neighbours.map(({ eventId }) => eventId)])
    t.equal(stored.length, neighbours.length, 'its neighbours are stored')
  }
  t.ok(reached.length > 60, `${reached.length} columns`)
  t.equal(worker.lines.filter((line) => line.includes(PERSONAL_MARK)).length, 0, 'no log line holds a value')
  t.strictSame(worker.logged('database takes no writes, holding deliveries until it does'), [], 'which is no outage')
})

const nested = (depth: number) => `${'['.repeat(depth)}${']'.repeat(depth)}`
/** What PostgreSQL can't hold, as JSON, and what it is known to say of it. */
const REFUSED = {
  '1e200000': '22003',
  '-1e200000': '22003',
  '1e-20000': '22003',
  [`0.${'1'.repeat(17_000)}`]: '22003',
  ['1'.repeat(140_000)]: '22003',
  [nested(7000)]: 'none, the reader says so',
}
/** Odd, and held all the same. @see docs/contract.md#4-database-postgresql-schema-public */
const HELD = [
  [String.raw`"\u0000"`, String.raw`"\ud800"`, '"0000-01-01T00:00:00Z"', '"+275760-09-13T00:00:00Z"', '"infinity"'],
  ['-0', '1e400', '123456789012345678901234567890', `"${'x'.repeat(100_000)}"`, '{"":[{}]}', '[null]', '{"a":1,"a":2}'],
].flat()
const PLACES = [
  ['status', 'reference-id', 'tags', 'fields', 'name-first', 'created-at', 'updated-at', 'started-at', 'completed-at'],
  ['failed-at', 'marked-for-review-at', 'decisioned-at', 'expired-at', 'country-code', 'checks', 'submitted-at'],
].flat()

/** The value in an attribute of the event's inquiry, of a verification and of a report. */
function inPlace(place: string, value: string, id: string) {
  const attributes = { [place]: '<<odd>>', note: PERSONAL_MARK }
  const included = ['verification/selfie', 'report/x'].map((type) => ({ type, id: `${type}_${id}`, attributes }))
  const delivery = aDelivery({ id, inquiryId: `inq_${id}`, attributes, included })
  return {
    ...delivery,
    body: Buffer.from(
      Buffer.from(delivery.body)
        .toString()
        .replaceAll('"<<odd>>"', () => value),
    ),
  }
}

t.test('what PostgreSQL can not hold is a dead letter wherever it stands; what it can is stored', async (t) => {
  const make = (values: readonly string[], kind: string) =>
    PLACES.flatMap((place, at) => values.map((value, n) => inPlace(place, value, `evt_${kind}_${at}_${n}`)))
  const refused = make(Object.keys(REFUSED), 'refused')
  const held = make(HELD, 'held')
  await queue.enqueue([...refused, ...held])
  await queue.isEmpty(60_000)
  const deadLetters = await sql(`SELECT event_id, reason, error, attempts FROM dead_letters WHERE event_id ~ '^evt_(refused|held)'`) // prettier-ignore
  const deadLetterOf = new Map(deadLetters.map((deadLetter) => [deadLetter['event_id'], deadLetter]))
  t.equal(deadLetters.length, refused.length, 'no other')
  for (const { eventId: id } of refused) {
    const eventId = id ?? String(id)
    const state = Object.values(REFUSED)[Number(eventId.split('_').at(-1))]
    t.match(
      deadLetterOf.get(eventId),
      { attempts: 1, error: new RegExp(`SQLSTATE ${state}|NESTING_TOO_DEEP`) },
      eventId,
    )
  }
  t.strictSame(await sql(`SELECT count(*)::int FROM events WHERE id ~ '^evt_held'`), [{ count: held.length }])
  t.equal(worker.lines.filter((line) => line.includes(PERSONAL_MARK)).length, 0, 'no log line holds a value')
})
