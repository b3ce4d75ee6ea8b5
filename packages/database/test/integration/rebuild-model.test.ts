import fc from 'fast-check'
import t from 'tap'
import { valuesOf } from '@persona-ingest/testkit'
import { readEvent } from '@persona-ingest/persona'
import { storeEvents } from '../../src/index.ts'
import { aDatabase, TABLES } from '../fixtures/a-database.ts'
import { linesOf, rebuilt, verified } from '../fixtures/rebuilt.ts'
import { bodyOf, history, renamed, type AbstractEvent } from '../model/history.ts'

const RUNS = Number(process.env['PROPERTY_RUNS'] ?? 10)
const SEED = process.env['PROPERTY_SEED'] === undefined ? Date.now() % 1_000_000 : Number(process.env['PROPERTY_SEED'])
/** Each with objects of its own, so that one rebuild checks them all. */
const HISTORIES_PER_RUN = 12

const database = await aDatabase(t)
const { url, sql } = database

/** Everything that a rebuild writes, in one order. */
async function contents(): Promise<string> {
  const tables = ['inquiries', 'verifications', 'resources', 'objects'].map(async (name) => [
    name,
    valuesOf(await sql(`SELECT * FROM ${name} ORDER BY id`)),
  ])
  return JSON.stringify(await Promise.all(tables), null, 1)
}

async function store(events: readonly AbstractEvent[]): Promise<void> {
  await storeEvents(
    database.opened,
    events.map((event) => readEvent({ body: bodyOf(event), environment: 'production', receivedAtMs: Date.now() })),
  )
}

t.test(
  'after any history the log says what the rows say, and a rebuild of nothing at all gives them back',
  async (t) => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(
          history(8).chain((events) => fc.shuffledSubarray([...events], { minLength: events.length })),
          { minLength: HISTORIES_PER_RUN, maxLength: HISTORIES_PER_RUN },
        ),
        async (histories) => {
          await sql(`TRUNCATE ${TABLES.join(', ')}`)
          const suffixed = histories.map((events, index) => events.map((event) => renamed(event, `_${index}`)))
          await Promise.all(suffixed.map(async (events) => {
          for (let at = 0; at < events.length; at += 3) await store(events.slice(at, at + 3))
        })) // prettier-ignore
          const before = await contents()
          const found = linesOf(await verified(url))
          if (found.length > 0) throw new Error(`expected no difference, found\n${found.join('\n')}`)
          await sql('UPDATE inquiries SET status = NULL')
          await sql('DELETE FROM verifications')
          await sql(`UPDATE resources SET event_rank = event_rank + 1, claim_inquiry_id = 'inq_A_0'`)
          await sql(`DELETE FROM objects WHERE erased_event_id IS NULL`)
          await rebuilt(url)
          const after = await contents()
          if (after !== before) throw new Error(`expected\n${before}\nfound\n${after}`)
        },
      ),
      { numRuns: RUNS, seed: SEED, endOnFailure: false },
    )
    t.pass(`${RUNS} times ${HISTORIES_PER_RUN} histories, seed ${SEED}`)
  },
)
