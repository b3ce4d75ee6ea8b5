import { Deadline } from '@persona-ingest/core'
import fc from 'fast-check'
import t from 'tap'
import { createProducer } from '@persona-ingest/queue'
import { createLogger, createRegistry } from '@persona-ingest/service'
import { eventually, throwAwayDatabase, throwAwayRedis } from '@persona-ingest/testkit'
import { expectedRows, rowsSql } from '../../../../packages/database/test/model/expected-rows.ts'
import { bodyOf, history, renamed, type AbstractEvent } from '../../../../packages/database/test/model/history.ts'
import { buildWorker } from '../../src/app.ts'
import { readEnv } from '../../src/env.ts'

const RUNS = Number(process.env['PROPERTY_RUNS'] ?? 20)
const SEED = Number(process.env['PROPERTY_SEED'] ?? Date.now() % 1_000_000)

/** A history, and its deliveries: every event once, some again, in any order. */
const deliveries = history(12).chain((events) =>
  fc.tuple(
    fc.constant(events),
    fc
      .subarray([...events])
      .chain((again) => fc.shuffledSubarray([...events, ...again], { minLength: events.length + again.length })),
  ),
)

t.test('whole workers, four at once behind one queue, end in the rows of the model', async (t) => {
  const redis = await throwAwayRedis(t)
  const { url, sql } = await throwAwayDatabase(t)
  const logger = createLogger({ app: 'worker', level: 'silent' })
  // Concurrency 1 stores each event alone, 50 makes batches: both at once.
  const workers = ['1', '2', '10', '50'].map((WORKER_CONCURRENCY) => {
    const env = readEnv({ REDIS_URL: redis.url, DATABASE_URL: url, WORKER_CONCURRENCY })
    return buildWorker({ env, logger, registry: createRegistry(), end: () => t.fail('a worker fell asleep') })
  })
  const producer = createProducer({ encryptionKeys: [], redisUrl: redis.url })
  t.teardown(async () => {
    await Promise.all(workers.map((worker) => worker.close()))
    await producer.close()
  })
  await eventually(() => producer.isReady())
  for (const worker of workers) worker.start()

  let run = 0
  await fc.assert(
    fc.asyncProperty(deliveries, async ([events, order]) => {
      // Histories live beside each other in one database, each about objects of its own.
      const suffix = `_${(run += 1)}`
      const deliver = (event: AbstractEvent) => {
        const { id: eventId } = renamed(event, suffix)
        const body = bodyOf(renamed(event, suffix))
        return producer.enqueue(
          { kind: 'event', eventId, environment: 'production', receivedAtMs: Date.now(), body },
          new Deadline(5000),
        )
      }
      await Promise.all(order.map(deliver))
      const stored = async () => sql(`SELECT id FROM events WHERE id LIKE $1`, [`evt\\_%\\${suffix}`])
      await eventually(async () => (await stored()).length === events.length, { deadlineMs: 90_000 })
      const isOurs = (row: Record<string, unknown>) => String(row['id']).endsWith(suffix)
      const strip = (text: unknown) => (typeof text === 'string' ? text.replace(new RegExp(`${suffix}$`), '') : text)
      const found = (await sql(`${rowsSql} ORDER BY id`)).filter(isOurs).map((row) => ({
        ...row,
        id: strip(row['id']),
        inquiryId: strip(row['inquiryId']),
        eventId: strip(row['eventId']),
      }))
      const expected = expectedRows(events)
      const sorted = (rows: readonly object[]) =>
        JSON.stringify(rows.map((row) => Object.entries(row).toSorted(([left], [right]) => (left < right ? -1 : 1))))
      if (sorted(found) !== sorted(expected)) throw new Error(`expected ${sorted(expected)}\nfound ${sorted(found)}`)
    }),
    { numRuns: RUNS, seed: SEED, endOnFailure: true },
  )
  t.pass(`${RUNS} histories, seed ${SEED}`)
})
