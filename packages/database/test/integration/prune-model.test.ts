import fc from 'fast-check'
import t from 'tap'
import { valuesSql } from '@persona-ingest/testkit'
import { readEvent } from '@persona-ingest/persona'
import { prune, storeEvents } from '../../src/index.ts'
import { aDatabase, TABLES } from '../fixtures/a-database.ts'
import { linesOf, rebuilt, verified } from '../fixtures/rebuilt.ts'
import { bodyOf, history, renamed, type AbstractEvent } from '../model/history.ts'

const RUNS = Number(process.env['PROPERTY_RUNS'] ?? 5)
const SEED = process.env['PROPERTY_SEED'] === undefined ? Date.now() % 1_000_000 : Number(process.env['PROPERTY_SEED'])
/** Each with objects of its own, so that one prune and one rebuild work on them all. */
const HISTORIES_PER_RUN = 12
const BATCH = 2

const database = await aDatabase(t)
const { url, sql } = database

/** Everything that events leave behind, but for their payloads: a line each. */
async function contents(): Promise<readonly string[]> {
  const tables = ['inquiries', 'verifications', 'resources', 'objects', 'claims', 'event_objects', 'redactions']
  const lines = tables.map((name) => `SELECT '${name} ' || ${valuesSql('r')}::text AS line FROM ${name} r`)
  const events = `SELECT concat_ws(' ', 'events', id, outcome, status, inquiry_id) FROM events`
  const rows = await sql(`${[...lines, events].join(' UNION ALL ')} ORDER BY 1`)
  return rows.map(({ line }) => String(line))
}

async function storeBatch(events: readonly AbstractEvent[]): Promise<void> {
  await storeEvents(
    database.opened,
    events.map((event) => readEvent({ body: bodyOf(event), environment: 'production', receivedAtMs: Date.now() })),
  )
}

async function pruneAll(): Promise<void> {
  const tomorrow = new Date(Date.now() + 86_400_000)
  await prune({ encryptionKeys: [], databaseUrl: url, eventsBefore: tomorrow, deadLettersBefore: null })
}

/** Stores histories side by side, a few events of each at a time, with something between them; tells what they leave behind. */
async function stored(
  histories: readonly (readonly AbstractEvent[])[],
  between: () => Promise<void>,
): Promise<readonly string[]> {
  await sql(`TRUNCATE ${TABLES.join(', ')}`)
  const longest = Math.max(...histories.map((events) => events.length))
  for (let at = 0; at < longest; at += BATCH) {
    await storeBatch(histories.flatMap((events) => events.slice(at, at + BATCH)))
    await between()
  }
  return contents()
}

function expectEqual(what: string, found: readonly string[], expected: readonly string[]): void {
  const lacking = expected.filter((line) => !found.includes(line)).map((line) => `- ${line}`)
  const added = found.filter((line) => !expected.includes(line)).map((line) => `+ ${line}`)
  if (lacking.length + added.length > 0) throw new Error([what, ...lacking, ...added].join('\n'))
}

t.test('pruned in between, any history leaves the same rows, and a rebuild keeps them', async (t) => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(
        history(8).chain((events) => fc.shuffledSubarray([...events], { minLength: events.length })),
        { minLength: HISTORIES_PER_RUN, maxLength: HISTORIES_PER_RUN },
      ),
      async (histories) => {
        const suffixed = histories.map((events, index) => events.map((event) => renamed(event, `_${index}`)))
        const expected = await stored(suffixed, async () => undefined)
        expectEqual('pruned in between', await stored(suffixed, pruneAll), expected)
        const left = await sql(`SELECT id FROM events WHERE pruned_at IS NULL OR payload::text LIKE '%secret-%'`)
        if (left.length > 0) throw new Error(`expected no payload, found ${JSON.stringify(left)}`)
        const found = linesOf(await verified(url))
        if (found.length > 0) throw new Error(`expected no difference, found\n${found.join('\n')}`)
        await sql(`UPDATE inquiries SET status = 'tampered', account_id = 'tampered'`)
        await sql(`UPDATE verifications SET claim_strength = 7, inquiry_id = 'inq_x', created_at = NULL`)
        await sql(`UPDATE resources SET status_rank = 99, claim_inquiry_id = 'inq_x'`)
        await sql(`DELETE FROM objects WHERE erased_event_id IS NULL`)
        await rebuilt(url)
        expectEqual('rebuilt', await contents(), expected)
      },
    ),
    { numRuns: RUNS, seed: SEED, endOnFailure: true },
  )
  t.pass(`${RUNS} times ${HISTORIES_PER_RUN} histories, seed ${SEED}`)
})
