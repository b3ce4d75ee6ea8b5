import { eventually, valuesOf } from '@persona-ingest/testkit'
import { Client } from 'pg'
import t from 'tap'
import { countPrunable, eraseTargets, MaintenanceBusyError, prune, replayEvent } from '../../src/index.ts'
import { openMaintenance } from '../../src/sql/maintenance-connection.ts'
import { aDatabase, RECEIVED_AT_MS } from '../fixtures/a-database.ts'
import { anEvent, anObject, bodyOf, related, type EventParts } from '../fixtures/an-event.ts'
import { linesOf, rebuilt, verified } from '../fixtures/rebuilt.ts'

const database = await aDatabase(t)
const { sql, store, deliver, url } = database
t.beforeEach(async () => {
  await database.empty()
  await sql('DROP SCHEMA IF EXISTS persona_rebuild CASCADE')
})

const MARK = 'Marked-Person'
const at = (ms: number) => new Date(RECEIVED_AT_MS + ms).toISOString()
const later = new Date(RECEIVED_AT_MS + 1)
const pruned = async (before = later) =>
  prune({ encryptionKeys: [], databaseUrl: url, eventsBefore: before, deadLettersBefore: before })

function inquiry(status: string, more: Partial<EventParts> = {}): EventParts {
  const data = anObject('inquiry', 'inq_1', {
    attributes: { status, 'reference-id': MARK, tags: [MARK], 'name-first': MARK, fields: { a: { value: MARK } } },
    relationships: { account: related(['account', 'act_1']), template: related(['inquiry-template', 'itmpl_1']) },
  })
  const selfie = anObject('verification/selfie', 'ver_1', {
    attributes: { status: 'passed', 'country-code': 'JP', checks: [{ name: MARK }], note: MARK },
  })
  const account = anObject('account', 'act_1', { attributes: { 'reference-id': MARK } })
  const name = `inquiry.${status}`
  return { id: `evt_${status}`, name, createdAt: at(0), data, included: [selfie, account], ...more }
}

/** All that a reader of the projections sees. */
const rows = async () => JSON.stringify(await Promise.all(['inquiries', 'verifications', 'resources', 'objects'].map(async (name) => valuesOf(await sql(`SELECT * FROM ${name} ORDER BY id`))))) // prettier-ignore
const payload = async (id: string) =>
  JSON.stringify(
    await database.row('SELECT payload, original_body, pruned_at IS NULL AS whole FROM events WHERE id = $1', [id]),
  )

t.test('events received before the time lose payload and raw bytes, rows keep everything', async (t) => {
  const odd = bodyOf(anEvent(inquiry('approved')))
    .toString()
    .replace(/\}$/, `,"odd":"${MARK}","odd":1}`)
  await deliver({ body: Buffer.from(odd), receivedAtMs: RECEIVED_AT_MS })
  await deliver({ body: bodyOf(anEvent(inquiry('created', { createdAt: at(-9) }))), receivedAtMs: RECEIVED_AT_MS + 5 })
  const columns = 'SELECT id, environment, name, created_at, rank, resource_type, resource_id, inquiry_id, status, received_at, processed_at, outcome FROM events ORDER BY id' // prettier-ignore
  const [rowsBefore, columnsBefore] = [await rows(), await sql(columns)]
  t.match(await payload('evt_approved'), MARK)
  t.match(await countPrunable(url, { eventsBefore: later, deadLettersBefore: null }), { events: 1, deadLetters: 0 })
  t.match(await payload('evt_approved'), MARK, 'to count changes nothing')
  t.strictSame(await pruned(), { events: 1, deadLetters: 0, unreadableIds: [] })
  t.notMatch(await payload('evt_approved'), MARK)
  t.match(await payload('evt_approved'), '"original_body":null,"whole":false')
  t.match(await payload('evt_created'), MARK, 'the younger one is whole')
  t.equal(await rows(), rowsBefore)
  t.strictSame(await sql(columns), columnsBefore)
  t.strictSame(await pruned(), { events: 0, deadLetters: 0, unreadableIds: [] }, 'again, there is nothing to do')
})

t.test('a redelivery of a pruned event is a duplicate and brings nothing back', async (t) => {
  await store(inquiry('approved'))
  await pruned()
  const before = await rows()
  t.strictSame([...(await store(inquiry('approved'))).values()], ['duplicate'])
  t.notMatch(await payload('evt_approved'), MARK)
  t.equal(await rows(), before)
  t.equal(await replayEvent(database.opened, 'evt_approved'), 'unchanged')
  t.equal(await rows(), before, 'a replay takes nothing from a row that holds it')
})

t.test('only dead letters that were resolved before the time go', async (t) => {
  for (const key of ['open', 'old', 'young', 'discarded'])
    await database.keepDeadLetter({ body: Buffer.from(key), eventId: `evt_${key}` })
  await sql(`UPDATE dead_letters SET state = CASE event_id WHEN 'evt_discarded' THEN 'discarded' ELSE 'replayed' END,
    resolved_at = CASE event_id WHEN 'evt_young' THEN $1::timestamptz ELSE $2::timestamptz END
    WHERE event_id <> 'evt_open'`, [at(10), at(0)]) // prettier-ignore
  t.match(await pruned(), { deadLetters: 2 })
  t.strictSame(await sql('SELECT event_id FROM dead_letters ORDER BY 1'), [{ event_id: 'evt_open' }, { event_id: 'evt_young' }]) // prettier-ignore
})

t.test('each kind has a limit of its own', async (t) => {
  await store(inquiry('approved'))
  await database.keepDeadLetter({ body: Buffer.from('x') })
  await sql(`UPDATE dead_letters SET state = 'discarded', resolved_at = $1::timestamptz`, [at(0)])
  t.match(await prune({ encryptionKeys: [], databaseUrl: url, eventsBefore: null, deadLettersBefore: later }), {
    events: 0,
    deadLetters: 1,
  })
  t.match(await prune({ encryptionKeys: [], databaseUrl: url, eventsBefore: later, deadLettersBefore: null }), {
    events: 1,
    deadLetters: 0,
  })
})

t.test('a redaction after a prune reaches the rows of what was pruned, shared ones too', async (t) => {
  await store(inquiry('approved'))
  await pruned()
  t.match(await rows(), MARK)
  await store({ id: 'evt_r', name: 'inquiry.redacted', createdAt: at(9), data: anObject('inquiry', 'inq_1') })
  t.notMatch(await rows(), MARK)
  t.match(await rows(), '"status":"approved"')
  t.strictSame(linesOf(await verified(url)), [])
})

t.test('an erasure by our own word likewise', async (t) => {
  await store(inquiry('approved'))
  await pruned()
  const targets = { subject: 'inquiry', inquiryIds: ['inq_1'], accountIds: [], others: [], deadLetterIds: [] } as const
  const report = await eraseTargets(database.opened, targets, { isDryRun: false, nowMs: RECEIVED_AT_MS + 50 })
  t.match(report, { inquiryIds: ['inq_1'], verificationIds: ['ver_1'], resourceIds: ['act_1'] })
  t.notMatch(await rows(), MARK)
  await sql(`UPDATE inquiries SET attributes = '{"name_first": "${MARK}"}'`)
  t.strictSame(linesOf(await rebuilt(url)), ['inquiries inq_1 different attributes'], 'what is erased is compared')
  t.notMatch(await rows(), MARK)
})

t.test('rebuild after a prune: what is known is compared and mended, what is not is left alone', async (t) => {
  await store(inquiry('approved'))
  await pruned()
  const before = await rows()
  t.strictSame(linesOf(await verified(url)), [])
  await sql(`UPDATE inquiries SET status = 'declined', account_id = 'act_x'`)
  await sql(`UPDATE verifications SET relationships = '{"inquiry": {"type": "inquiry", "id": "inq_x"}}'`)
  t.strictSame(linesOf(await rebuilt(url)), ['inquiries inq_1 different status account_id'])
  await sql(`UPDATE verifications SET relationships = '{}'`)
  await sql(`UPDATE inquiries SET relationships = '{}'`)
  t.strictSame(linesOf(await rebuilt(url)), ['inquiries inq_1 different relationships'])
  t.equal(await rows(), before)
  await sql(`DELETE FROM verifications`)
  t.strictSame(linesOf(await rebuilt(url)), ['verifications ver_1 missing'])
  t.match(await sql('SELECT id, status, inquiry_id, checks, attributes FROM verifications'), [
    { id: 'ver_1', status: 'passed', inquiry_id: 'inq_1', checks: [], attributes: {} },
  ])
})

t.test(
  'a pruned event whose relationships held plain values, or lists of lists, does not differ from its row',
  async (t) => {
    const odd = [MARK, 1, null, [MARK, [2, null], { type: 'account', id: 'act_1' }], { id: 'act_2' }, { id: 3 }, {}]
    const relationships = {
      odd: { data: odd },
      plain: { data: [MARK] },
      text: { data: MARK },
      other: { data: { a: MARK } },
    }
    await store(inquiry('approved', { data: anObject('inquiry', 'inq_1', { relationships }) }))
    const before = await rows()
    await pruned()
    t.notMatch(await payload('evt_approved'), MARK)
    t.strictSame(linesOf(await verified(url)), [])
    t.strictSame(linesOf(await rebuilt(url)), [])
    t.equal(await rows(), before)
    await store({ id: 'evt_redacted', name: 'inquiry.redacted', createdAt: at(9) })
    t.notMatch(await rows(), MARK)
    t.strictSame(linesOf(await verified(url)), [])
  },
)

t.test('a newer event that is whole is compared in full, whatever older ones lost', async (t) => {
  await store(inquiry('created'))
  await pruned()
  await store(inquiry('approved', { createdAt: at(5) }))
  await sql(`UPDATE inquiries SET fields = '{"x": 1}'`)
  t.strictSame(linesOf(await rebuilt(url)), ['inquiries inq_1 different fields'])
})

t.test('a redaction that comes while pruned events are rebuilt reaches its rows and no others', async (t) => {
  await store(inquiry('approved'))
  await store(inquiry('approved', { id: 'evt_2', data: anObject('inquiry', 'inq_2', { attributes: { note: MARK } }), included: [] })) // prettier-ignore
  await pruned()
  const beforeEnd = async () =>
    void (await store({ id: 'evt_r', name: 'inquiry.redacted', createdAt: at(9), data: anObject('inquiry', 'inq_1') }))
  await sql(`UPDATE inquiries SET event_name = 'tampered'`)
  await rebuilt(url, { beforeEnd })
  t.notMatch(JSON.stringify(await sql(`SELECT * FROM inquiries WHERE id = 'inq_1'`)), MARK)
  t.match(JSON.stringify(await sql(`SELECT * FROM inquiries WHERE id = 'inq_2'`)), MARK)
  t.strictSame(linesOf(await verified(url)), [])
})

t.test('stopped or killed, it goes on with the next call', async (t) => {
  const events = Array.from({ length: 600 }, (_, key) => inquiry('approved', { id: `evt_${key}` }))
  for (let from = 0; from < 600; from += 200) await store(...events.slice(from, from + 200))
  const stopping = new AbortController()
  const steps: number[] = []
  const onProgress = ({ done }: { done: number }) => {
    steps.push(done)
    stopping.abort(new Error('stopped'))
  }
  const stopped = prune({ encryptionKeys: [], databaseUrl: url, eventsBefore: later, deadLettersBefore: null, signal: stopping.signal, onProgress }) // prettier-ignore
  await t.rejects(stopped, { message: 'stopped' })
  t.ok(Number(steps[0]) > 0 && Number(steps[0]) <= 250, 'in bounded pieces')
  let killing: Promise<unknown> | undefined
  const kill = () => void (killing ??= sql(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'persona-ingest-maintenance'`)) // prettier-ignore
  await prune({
    encryptionKeys: [],
    databaseUrl: url,
    eventsBefore: later,
    deadLettersBefore: null,
    onProgress: kill,
  }).catch(() => undefined)
  await killing
  await pruned()
  t.strictSame(await sql(`SELECT id FROM events WHERE pruned_at IS NULL OR payload::text LIKE '%${MARK}%'`), [])
})

t.test('an erasure and a prune at the same time leave no payload', async (t) => {
  for (let key = 0; key < 40; key += 1) {
    const data = anObject('inquiry', `inq_${key}`, { attributes: { note: MARK } })
    await store({ id: `evt_${key}`, data }, { id: `evt_${key}_x`, data })
  }
  const erasing = Array.from({ length: 40 }, (_, key) =>
    store({ id: `evt_${key}_r`, name: 'inquiry.redacted', createdAt: at(9), data: anObject('inquiry', `inq_${key}`) }),
  )
  await Promise.all([pruned(), ...erasing])
  await pruned()
  t.strictSame(await sql(`SELECT id FROM events WHERE payload::text LIKE '%${MARK}%'`), [])
  t.strictSame(linesOf(await verified(url)), [])
})

t.test('it waits for an erasure that is under way, since both read an event and write it back', async (t) => {
  await store(inquiry('approved'))
  const erasing = new Client({ connectionString: url })
  await erasing.connect()
  t.teardown(() => erasing.end())
  await erasing.query('BEGIN')
  await erasing.query('SELECT begin_exclusive_write()')
  const pruning = pruned()
  const waiting = `SELECT 1 FROM pg_stat_activity WHERE application_name = 'persona-ingest-maintenance' AND wait_event = 'advisory'`
  await eventually(async () => (await sql(waiting)).length === 1)
  t.match(await payload('evt_approved'), MARK)
  await erasing.query('COMMIT')
  t.match(await pruning, { events: 1 })
})

t.test('one at a time, and not beside a rebuild', async (t) => {
  const other = await openMaintenance({ encryptionKeys: [], databaseUrl: url }, 'public')
  await t.rejects(pruned(), MaintenanceBusyError)
  await other.close()
  t.match(await pruned(), { events: 0 })
})

t.test('an event that was changed by hand stays as it is and is named', async (t) => {
  await store(inquiry('approved'), inquiry('created'))
  await sql(`UPDATE events SET payload = '{}' WHERE id = 'evt_created'`)
  t.strictSame(await pruned(), { events: 1, deadLetters: 0, unreadableIds: ['evt_created'] })
})
