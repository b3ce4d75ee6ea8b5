import fc from 'fast-check'
import t from 'tap'
import { valuesSql } from '@persona-ingest/testkit'
import { readEvent } from '@persona-ingest/persona'
import { storeEvents } from '../../src/index.ts'
import { aDatabase, TABLES, type ADatabase } from '../fixtures/a-database.ts'
import { linesOf, rebuilt, verified } from '../fixtures/rebuilt.ts'
import { bodyOf, history, renamed } from '../model/history.ts'

const PROJECTIONS = ['inquiries', 'verifications', 'resources'] as const
/** What a backup must hold. */
const LOG = TABLES.filter((table) => !(PROJECTIONS as readonly string[]).includes(table))
const SEED = Number(process.env['PROPERTY_SEED'] ?? Date.now() % 1_000_000)

async function contents({ sql }: ADatabase, tables: readonly string[]): Promise<string> {
  const all = tables.map(async (name) => [
    name,
    await sql(`SELECT ${valuesSql('t')} AS row FROM ${name} t ORDER BY t::text`),
  ])
  return JSON.stringify(await Promise.all(all), null, 1)
}

function read(body: Uint8Array) {
  return readEvent({ body, environment: 'production', receivedAtMs: Date.now() })
}

/** What `pg_dump --data-only` of the table and a restore do: every column that is not computed. */
async function copyTable(name: string, from: ADatabase, to: ADatabase): Promise<void> {
  const columns = await from.sql(
    `SELECT string_agg(quote_ident(column_name), ', ') AS list FROM information_schema.columns
     WHERE table_schema = 'public' AND table_name = $1 AND is_generated = 'NEVER'`,
    [name],
  )
  const list = String(columns[0]?.['list'])
  const [rows] = await from.sql(`SELECT coalesce(jsonb_agg(t), '[]')::text AS rows FROM ${name} t`)
  await to.sql(
    `INSERT INTO ${name} (${list}) OVERRIDING SYSTEM VALUE
     SELECT ${list} FROM jsonb_populate_recordset(NULL::${name}, $1::jsonb)`,
    [rows?.['rows']],
  )
}

t.test('a backup without the projections is enough: a rebuild makes them again, redactions kept', async (t) => {
  const [source, restored] = [await aDatabase(t), await aDatabase(t)]
  const histories = fc.sample(history(8), { seed: SEED, numRuns: 60 })
  t.comment(`seed ${SEED}`)
  for (const [index, events] of histories.entries()) {
    const deliveries = events.map((event) => bodyOf(renamed(event, `_${index}`)))
    await storeEvents(source.opened, deliveries.map(read))
  }
  await source.keepDeadLetter({ body: Buffer.from('{') })
  t.ok((await source.sql('SELECT 1 FROM redactions')).length > 0, 'some of it is redacted')

  for (const name of LOG) await copyTable(name, source, restored)
  const report = await rebuilt(restored.url)
  t.ok(report.differences.length > 50, 'rows were missing and are made')
  t.equal(await contents(restored, PROJECTIONS), await contents(source, PROJECTIONS))
  t.equal(await contents(restored, LOG), await contents(source, LOG))
  t.strictSame(linesOf(await verified(restored.url)), [])

  const [first] = histories[0] ?? []
  if (first === undefined) throw new Error('no event')
  const again = await storeEvents(restored.opened, [read(bodyOf(renamed(first, '_0')))])
  t.strictSame([...again.values()], ['duplicate'], 'what comes again is known')
})
