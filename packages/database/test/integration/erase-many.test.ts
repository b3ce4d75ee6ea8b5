import t from 'tap'
import { redactStoredCopies } from '../../src/redaction/redact-stored.ts'
import { inExclusiveWrite } from '../../src/sql/write-transactions.ts'
import { aDatabase } from '../fixtures/a-database.ts'

/** More than a call of a function takes as arguments. */
const MANY = 130_000

t.test('an erasure reaches more rows than a call takes arguments', async (t) => {
  const { opened, sql } = await aDatabase(t)
  await sql(
    `INSERT INTO resources (id, environment, type, attributes, relationships, event_id, event_name, event_created_at, event_rank)
     SELECT 'rep_' || n, 'production', 'report', '{"name":"MARK"}', '{}', 'evt_gone', 'report.ready', '2026-02-03T10:00:00Z', 0
     FROM generate_series(1, $1::int) AS n`,
    [MANY],
  )
  const clock = { createdAtMs: Date.UTC(2026, 1, 3, 11), rank: 7, eventId: 'evt_redacted' }
  const raised = new Map(Array.from({ length: MANY }, (_, index) => [`rep_${index + 1}`, clock] as const))
  const erased = await inExclusiveWrite(opened.sql, 'erasure', async (executor) =>
    redactStoredCopies(executor, raised, () => null),
  )
  t.equal(erased.rows.length, MANY)
  t.strictSame(await sql(`SELECT 1 FROM resources WHERE attributes <> '{}' LIMIT 1`), [])
})
