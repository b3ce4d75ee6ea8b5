import fc from 'fast-check'
import t from 'tap'
import { throwAwayDatabase } from '@persona-ingest/testkit'
import { openDatabase } from '../../src/index.ts'
import { emptyTablesSql } from '../fixtures/a-database.ts'
import { feedFaultsSql } from '../fixtures/a-feed.ts'
import { aFoldOfTheLog, type Sql } from '../fixtures/fold-of-the-log.ts'
import { give } from '../fixtures/give.ts'
import { erasures, history, type AbstractErasure, type AbstractEvent } from '../model/history.ts'
import { expectedRows, isErased, type History } from '../model/expected-rows.ts'

const RUNS = Number(process.env['PROPERTY_RUNS'] ?? 300)
const SEED = process.env['PROPERTY_SEED'] === undefined ? Date.now() % 1_000_000 : Number(process.env['PROPERTY_SEED'])

type Item = AbstractEvent | AbstractErasure

/** Events in a delivered order, cut into batches, with some delivered again, for up to four writers at once. */
type Schedule = { readonly batches: readonly (readonly Item[])[]; readonly writers: number }

function schedule(items: readonly Item[]): fc.Arbitrary<Schedule> {
  const delivered = fc
    .tuple(fc.subarray([...items]), fc.constant(items))
    .chain(([again, all]) => fc.shuffledSubarray([...all, ...again], { minLength: all.length + again.length }))
  return fc
    .tuple(
      delivered,
      fc.array(fc.integer({ min: 1, max: 4 }), { minLength: 1, maxLength: 20 }),
      fc.integer({ min: 1, max: 4 }),
    )
    .map(([order, sizes, writers]) => {
      const batches: Item[][] = []
      for (let at = 0, turn = 0; at < order.length; turn += 1) {
        const size = sizes[turn % sizes.length] as number
        batches.push(order.slice(at, at + size))
        at += size
      }
      return { batches, writers }
    })
}

const rowsSql = `
SELECT 'inquiries' AS "table", id, NULL AS type, status, NULL AS "inquiryId", event_id AS "eventId",
  attributes->>'name_first' AS secret, reference_id FROM inquiries
UNION ALL SELECT 'verifications', id, type, status, inquiry_id, event_id, attributes->>'name_first', NULL FROM verifications
UNION ALL SELECT 'resources', id, type, status, inquiry_id, event_id, attributes->>'name_first', NULL FROM resources
ORDER BY id`

t.test('any order, repetition, grouping and number of writers ends in the rows of the model', async (t) => {
  const { url } = await throwAwayDatabase(t)
  const database = openDatabase({ encryptionKeys: [], url, connections: 8 })
  t.teardown(() => database.close())
  const sql: Sql = (text) => database.prisma.$queryRawUnsafe(text)
  const unlikeTheFold = await aFoldOfTheLog(t)

  const run = async ({ batches, writers }: Schedule): Promise<void> => {
    await sql(emptyTablesSql)
    const queue = [...batches]
    const writer = async (): Promise<void> => {
      for (let batch = queue.shift(); batch !== undefined; batch = queue.shift()) await give(database, batch)
    }
    await Promise.all(Array.from({ length: writers }, writer))
  }

  await fc.assert(
    fc.asyncProperty(
      fc
        .tuple(history(8), erasures)
        .chain(([events, erased]) =>
          fc.tuple(fc.constant(events), fc.constant(erased), schedule([...events, ...erased])),
        ),
      async ([events, erased, plan]) => {
        await run(plan)
        const rows = await sql(rowsSql)
        const expected = expectedRows(events, erased)
        const found = rows.map(({ reference_id: _, ...row }) => row)
        if (JSON.stringify(sortKeys(found)) !== JSON.stringify(sortKeys(expected)))
          throw new Error(`expected ${JSON.stringify(expected, null, 1)}\nfound ${JSON.stringify(found, null, 1)}`)
        for (const row of rows)
          if (row['table'] === 'inquiries' && row['eventId'] !== null && row['reference_id'] !== row['secret'])
            throw new Error('a column of its own was erased apart from the attributes')
        const unlike = await unlikeTheFold(sql)
        if (unlike.length > 0) throw new Error(`the tables are no fold of the log:\n${unlike.join('\n')}`)
        const faults = await sql(feedFaultsSql)
        if (faults.length > 0) throw new Error(`the change feed:\n${faults.map(({ fault }) => fault).join('\n')}`)
        const log = await sql('SELECT id, payload::text AS payload FROM events ORDER BY id')
        if (log.length !== events.length) throw new Error(`expected ${events.length} events, found ${log.length}`)
        for (const event of events) {
          const payload = String(log.find((row) => row['id'] === event.id)?.['payload'])
          for (const object of [event.primary, ...event.included]) {
            const mustGo = isErased({ events, erasures: erased }, object.id, event)
            if (
              mustGo &&
              payload.includes(`"${object.secret}"`) &&
              !keptElsewhere({ events, erasures: erased }, event, object.secret)
            )
              throw new Error(`${object.id} in ${event.id} was to be erased`)
            if (!mustGo && !payload.includes(`"${object.secret}"`))
              throw new Error(`${object.id} in ${event.id} was not to be erased`)
          }
        }
      },
    ),
    { numRuns: RUNS, seed: SEED, endOnFailure: false },
  )
  t.pass(`${RUNS} histories, seed ${SEED}`)
})

/** Two objects of one event can share a marked value by chance. */
function keptElsewhere(told: History, event: AbstractEvent, secret: string): boolean {
  return [event.primary, ...event.included].some(
    (object) => object.secret === secret && !isErased(told, object.id, event),
  )
}

function sortKeys(rows: readonly object[]): readonly object[] {
  return rows.map((row) =>
    Object.fromEntries(Object.entries(row).toSorted(([left], [right]) => (left < right ? -1 : 1))),
  )
}
