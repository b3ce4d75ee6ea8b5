import t from 'tap'
import { tableRows } from '@persona-ingest/testkit'
import { MaintenanceBusyError, rebuild } from '../../src/index.ts'
import { openMaintenance } from '../../src/sql/maintenance-connection.ts'
import { aDatabase, RECEIVED_AT_MS } from '../fixtures/a-database.ts'
import { anObject, related, type EventParts } from '../fixtures/an-event.ts'
import { linesOf, rebuilt, verified } from '../fixtures/rebuilt.ts'

const database = await aDatabase(t)
const { sql, store, url } = database
t.beforeEach(async () => {
  await database.empty()
  await sql('DROP SCHEMA IF EXISTS persona_rebuild CASCADE')
})

const at = (ms: number) => new Date(RECEIVED_AT_MS + ms).toISOString()

/** An inquiry's two events: its status, a selfie that it claims, a template that it names only. */
function flow(key: string | number): readonly EventParts[] {
  const relationships = { template: related(['inquiry-template', `itmpl_${key}`]) }
  const inquiry = (status: string) =>
    anObject('inquiry', `inq_${key}`, { attributes: { status, 'name-first': `Marked-${key}` }, relationships })
  const selfie = anObject('verification/selfie', `ver_${key}`, {
    attributes: { status: 'passed', note: `Marked-${key}` },
  })
  return [
    { id: `evt_${key}_a`, name: 'inquiry.created', createdAt: at(0), data: inquiry('created') },
    { id: `evt_${key}_b`, name: 'inquiry.approved', createdAt: at(9), data: inquiry('approved'), included: [selfie] },
  ]
}
async function storeFlows(count: number, prefix = ''): Promise<void> {
  const events = Array.from({ length: count }, (_, index) => flow(`${prefix}${index}`)).flat()
  for (let from = 0; from < events.length; from += 200) await store(...events.slice(from, from + 200))
}
const redaction = (key: string | number): EventParts => ({
  id: `evt_${key}_r`,
  name: 'inquiry.redacted',
  createdAt: at(99),
  data: anObject('inquiry', `inq_${key}`),
})

t.test('every way of tampering with a row by SQL is found, named and mended', async (t) => {
  await storeFlows(5)
  const before = await tableRows(database.sql)
  const tampering: readonly (readonly [sql: string, found: readonly string[]])[] = [
    [`UPDATE inquiries SET status = 'declined' WHERE id = 'inq_1'`, ['inquiries inq_1 different status']],
    [`UPDATE inquiries SET tags = '{x}', fields = '{"a":1}' WHERE id = 'inq_2'`, ['inquiries inq_2 different tags fields']],
    [`DELETE FROM verifications WHERE id = 'ver_3'`, ['verifications ver_3 missing']],
    [`UPDATE verifications SET claim_strength = 3, inquiry_id = 'inq_0' WHERE id = 'ver_1'`, ['verifications ver_1 different inquiry_id claim_strength']],
    [`UPDATE resources SET reference_event_id = 'evt_zz' WHERE id = 'itmpl_1'`, ['resources itmpl_1 different reference_event_id']],
    [`INSERT INTO resources (id, environment, attributes, relationships) VALUES ('doc_x', 'sandbox', '{}', '{}')`, ['resources doc_x unexpected']],
    [`UPDATE objects SET family = 'resource' WHERE id = 'inq_4'`, ['objects inq_4 different family']],
    [`DELETE FROM objects WHERE id = 'inq_3'`, ['objects inq_3 missing']],
    [`UPDATE inquiries SET event_created_at = event_created_at + interval '1 year' WHERE id = 'inq_0'`, ['inquiries inq_0 different event_created_at']],
  ] // prettier-ignore
  t.strictSame((await verified(url)).differences, [])
  for (const [statement] of tampering) await sql(statement)
  const found = tampering.flatMap(([, lines]) => lines).toSorted()
  t.strictSame(linesOf(await verified(url)).toSorted(), found)
  t.strictSame(linesOf(await rebuilt(url)).toSorted(), found, 'verifying has mended nothing')
  t.strictSame((await verified(url)).differences, [])
  const lines = (text: string) =>
    text
      .split('\n')
      .filter((line) => !line.startsWith('public.ingest_state'))
      .toSorted()
      .join('\n')
  t.equal(lines(await tableRows(database.sql)), lines(before), 'nothing else has changed')
})

t.test('it tells how much was compared, and leaves nothing behind', async (t) => {
  await storeFlows(3)
  const report = await rebuilt(url)
  t.match(report, { isResumed: false, events: 6, rows: { inquiries: 3, verifications: 3, resources: 3, objects: 9 } })
  t.ok(report.heldOffMs > 0)
  t.equal((await verified(url)).heldOffMs, 0)
  t.strictSame(await sql(`SELECT nspname FROM pg_namespace WHERE nspname = 'persona_rebuild'`), [])
  t.match(await rebuilt(url), { events: 6, differences: [] })
})

t.test('an empty log empties the tables; an empty database is in order', async (t) => {
  t.strictSame((await verified(url)).differences, [])
  await storeFlows(1)
  await sql('TRUNCATE events, event_objects, claims')
  t.equal((await rebuilt(url)).differences.length, 6)
  t.strictSame(await sql('SELECT id FROM inquiries UNION ALL SELECT id FROM resources'), [])
})

t.test('events that arrive meanwhile are neither lost nor taken for differences', async (t) => {
  await storeFlows(700)
  for (const run of [verified, rebuilt]) {
    await sql(`UPDATE inquiries SET status = 'tampered' WHERE id = 'inq_5'`)
    let writes = Promise.resolve()
    let rounds = 0
    const result = await run(url, {
      onProgress: () => {
        rounds += 1
        writes = writes.then(() => storeFlows(20, `${run.name}-${rounds}-`))
      },
    })
    await writes
    t.ok(rounds > 5, `${rounds} times something arrived`)
    t.strictSame(linesOf(result), ['inquiries inq_5 different status'])
  }
  t.strictSame((await verified(url)).differences, [])
  t.strictSame(await sql(`SELECT count(*)::int FROM inquiries WHERE status <> 'approved'`), [{ count: 0 }])
})

t.test('a redaction that comes meanwhile reaches the rows, whatever was read of them before', async (t) => {
  await storeFlows(600)
  for (const phase of ['events', 'rows']) {
    await sql(`UPDATE inquiries SET attributes = '{"x": 1}'`)
    let erasing: Promise<unknown> | undefined
    const keys = phase === 'events' ? [1, 300, 599] : [2, 301, 598]
    const result = await rebuilt(url, {
      onProgress: (progress) => {
        if (progress.phase === phase) erasing ??= Promise.all(keys.map((key) => store(redaction(key))))
      },
    })
    await erasing
    t.ok(result.differences.length >= 590)
    const marks = keys.map((key) => `"Marked-${key}"`)
    const found = await tableRows(database.sql)
    t.strictSame(marks.filter((mark) => found.includes(mark)), [], phase) // prettier-ignore
    t.strictSame((await verified(url)).differences, [])
  }
})

t.test(
  'what comes at the very end counts: an event, a redaction, and a write that was decided on before',
  async (t) => {
    await storeFlows(4)
    for (const [run, key, ms] of [
      [rebuilt, 2, 500],
      [verified, 3, 600],
    ] as const) {
      const id = `evt_end_${key}`
      const newest = anObject('inquiry', 'inq_1', { attributes: { status: id } })
      // Suspects are written again from the shadow tables, so these must know by then what the redaction took.
      await sql(`UPDATE inquiries SET event_name = 'tampered'`)
      await sql(`UPDATE verifications SET event_name = 'tampered'`)
      const beforeEnd = async () => {
        await store({ id, createdAt: at(ms), data: newest })
        await store(redaction(key))
      }
      const found = linesOf(await run(url, { beforeEnd }))
      t.equal(found.length, 6, 'but for the two inquiries that changed meanwhile')
      t.strictSame(await database.row(`SELECT status FROM inquiries WHERE id = 'inq_1'`), { status: id })
      t.notMatch(await tableRows(database.sql), `"Marked-${key}"`)
      t.strictSame(linesOf(await rebuilt(url)), run === rebuilt ? [] : found)
    }
  },
)

t.test(
  'a rebuild that was stopped goes on where it was, also past a redaction, and starts over when told to',
  async (t) => {
    await storeFlows(600)
    await sql('DELETE FROM inquiries')
    const stop = async () => {
      const stopping = new AbortController()
      const onProgress = ({ done }: { done: number }) => done >= 500 && stopping.abort(new Error('stopped'))
      await t.rejects(rebuilt(url, { signal: stopping.signal, onProgress }), { message: 'stopped' })
    }
    await stop()
    t.strictSame(await sql('SELECT id FROM inquiries'), [], 'nothing has changed')
    await store(redaction(0), ...flow('late'))
    const seen: number[] = []
    const resumed = await verified(url, { onProgress: ({ done }) => seen.push(done) })
    t.ok(resumed.isResumed)
    t.ok((seen[0] ?? 0) >= 500)
    t.equal(resumed.differences.length, 600, 'the redacted one knows its new event and no status')
    await stop()
    t.match(await rebuilt(url, { restart: true }), { isResumed: false, events: 1203 })
    t.strictSame((await verified(url)).differences, [])
    t.notMatch(await tableRows(database.sql), '"Marked-0"')
  },
)

t.test('what a killed connection left is gone on with, what a crash of PostgreSQL emptied begins anew', async (t) => {
  await storeFlows(600)
  let killing: Promise<unknown> | undefined
  const onProgress = ({ done }: { done: number }) =>
    void (
      done >= 500 &&
      (killing ??= sql(
        `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'persona-ingest-maintenance'`,
      ))
    )
  await t.rejects(rebuilt(url, { onProgress }))
  await killing
  t.ok((await verified(url)).isResumed)
  await t.rejects(rebuilt(url, { signal: AbortSignal.abort(new Error('stopped')) }), { message: 'stopped' })
  await database.server.kill()
  await database.server.restart()
  t.match(await verified(url), { isResumed: false, events: 1200, differences: [] })
})

t.test('one at a time', async (t) => {
  await storeFlows(1)
  const first = await openMaintenance({ encryptionKeys: [], databaseUrl: url }, 'public')
  await t.rejects(verified(url), MaintenanceBusyError)
  await first.close()
  t.strictSame((await verified(url)).differences, [])
})

t.test('events in wide transactions and large documents are read in small pieces', async (t) => {
  const large = (key: number): EventParts => ({
    id: `evt_large_${key}`,
    data: anObject('inquiry', `inq_large_${key}`, {
      attributes: { note: Array.from({ length: 20_000 }, Math.random) },
    }),
  })
  for (let key = 0; key < 12; key += 1) await store(large(key))
  const steps: number[] = []
  t.strictSame(
    (await verified(url, { onProgress: ({ phase, done }) => phase === 'events' && steps.push(done) })).differences,
    [],
  )
  t.ok(steps.length >= 3, `in ${steps.length} pieces`)
})

t.test('views, rights and prepared statements go on working', async (t) => {
  await storeFlows(3)
  await sql('CREATE VIEW my_view AS SELECT id, status FROM inquiries')
  await sql('CREATE ROLE reader')
  await sql('GRANT SELECT ON inquiries TO reader')
  t.teardown(() => sql('DROP VIEW my_view'))
  await sql(`UPDATE inquiries SET status = 'tampered'`)
  await rebuilt(url)
  await store({ ...flow(0)[1], id: 'evt_new', createdAt: at(50) })
  t.strictSame(await sql('SELECT DISTINCT status FROM my_view'), [{ status: 'approved' }])
  t.strictSame(await sql(`SELECT has_table_privilege('reader', 'inquiries', 'SELECT') AS may`), [{ may: true }])
  t.equal((await sql(`SELECT * FROM inquiry_timeline WHERE inquiry_id = 'inq_0'`)).length, 3)
})

t.test('a database that is away rejects with its error', async (t) => {
  const options = { isVerifying: true, onDifference: () => undefined }
  await t.rejects(rebuild({ encryptionKeys: [], databaseUrl: 'postgresql://127.0.0.1:1/nothing', ...options }), {
    name: 'ConnectionError',
    reason: 'ECONNREFUSED',
  })
})
