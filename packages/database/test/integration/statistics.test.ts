import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { everyRow, marksIn, throwAwayDatabase } from '@persona-ingest/testkit'
import t from 'tap'
import { prismaFolder } from '../../src/migration/migrate.ts'
import { aDatabase } from '../fixtures/a-database.ts'
import { anEvent, anObject, bodyOf, type EventParts } from '../fixtures/an-event.ts'

const MARKS = ['Marked-Zoe', 'marked-reference', 'marked-tag', 'marked-country', 'marked-number']

/** Enough of the same values that the planner finds them common. */
const events = Array.from({ length: 60 }, (_, index): EventParts => {
  const attributes = { 'name-first': MARKS[0], 'reference-id': MARKS[1], tags: [MARKS[2]], fields: { a: MARKS[0] } }
  const told = { attributes: { note: MARKS[0], 'country-code': MARKS[3], checks: [{ name: MARKS[0] }] } }
  return {
    id: `evt_${index}`,
    data: anObject('inquiry', `inq_${index}`, { attributes }),
    included: [anObject('verification/selfie', `ver_${index}`, told), anObject('account', `act_${index}`, told)],
    extra: { nul: '\u0000' },
  }
})

t.test('the statistics of the planner, which outlive what was erased, hold no personal data', async (t) => {
  const { sql, store, keepDeadLetter } = await aDatabase(t)
  await store(...events)
  for (const event of events) {
    await keepDeadLetter({ body: Buffer.from(`${event.id} {"id":"${MARKS[4]}", "name":"${MARKS[0]}"`) })
    await keepDeadLetter({ eventId: event.id ?? null, body: bodyOf(anEvent(event)) })
  }
  t.strictSame(marksIn(await everyRow(sql), MARKS), MARKS)
  await sql('ANALYZE')
  await sql('DELETE FROM dead_letters')
  for (const table of ['events', 'inquiries', 'verifications', 'resources']) await sql(`DELETE FROM ${table}`)
  t.match(await everyRow(sql), /statistics: .*inq_/, 'they are there')
  t.strictSame(marksIn(await everyRow(sql), MARKS), [])
})

t.test('what statistics held before the migration goes, and no table or index is made anew', async (t) => {
  const { sql } = await throwAwayDatabase(t, { migrate: false })
  const migrate = async (name: string) => {
    await sql(await readFile(join(prismaFolder, 'migrations', name, 'migration.sql'), 'utf8'))
  }
  const statistics = async () => (await everyRow(sql)).split('\n').filter((line) => line.startsWith('statistics'))
  const files = async () =>
    await sql(`SELECT relname, pg_relation_filenode(oid) FROM pg_class WHERE relnamespace = 'public'::regnamespace
      AND relkind IN ('r', 'i') AND relname NOT LIKE 'erasures%' ORDER BY 1`)
  await migrate('20261123000000_init')
  await sql(`INSERT INTO inquiries (id, environment, reference_id, tags, attributes, fields, relationships)
    SELECT 'inq_' || i, 'sandbox', 'marked-reference', '{marked-tag}', '{"a": "Marked-Zoe"}', '{}', '{}'
    FROM generate_series(1, 300) i`)
  await sql('ANALYZE')
  const before = await files()
  t.match((await statistics()).join('\n'), 'Marked-Zoe')
  await migrate('20261126120000_erasures')
  t.strictSame(marksIn((await statistics()).join('\n'), MARKS), [])
  t.strictSame(await files(), before)
  const plan = await sql(`EXPLAIN SELECT * FROM inquiries WHERE reference_id = 'other'`)
  t.match(JSON.stringify(plan), 'inquiries_reference_id_idx', 'the index is still used')
})
