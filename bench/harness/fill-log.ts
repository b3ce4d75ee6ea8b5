import { openDatabase, storeEvents } from '@persona-ingest/database'
import { readEvent } from '@persona-ingest/persona'
import { bodiesOf } from '../store.ts'
import { buildBodies } from './bodies.ts'
import type { Servers } from './servers.ts'

const BATCH = 500
const CHUNK = 20_000

/** Fills the log the way the worker does, in larger batches; the events are a month old. */
export async function fillLog(servers: Servers, size: number, say: (line: string) => void): Promise<void> {
  const database = openDatabase({ encryptionKeys: [], url: servers.databaseUrl })
  for (let from = 0; from < size; from += CHUNK) {
    const count = Math.min(CHUNK, size - from)
    const bodies = buildBodies(bodiesOf(count, `fill/${from}`, { startAtMs: Date.now() - 30 * 86_400_000 }))
    const batches: (typeof bodies)[] = []
    for (let at = 0; at < count; at += BATCH) batches.push(bodies.slice(at, at + BATCH))
    const storeNext = async (): Promise<void> => {
      for (let batch = batches.shift(); batch !== undefined; batch = batches.shift()) {
        const receivedAtMs = Date.now()
        const events = batch.map(({ bytes }) => readEvent({ body: bytes, environment: 'production', receivedAtMs }))
        await storeEvents(database, events)
      }
    }
    await Promise.all([storeNext(), storeNext()])
    say(`filled ${from + count} of ${size}`)
  }
  await database.close()
  // What autovacuum does in time; without it, it would do so in the middle of the measurement.
  await servers.postgres.sql('VACUUM (ANALYZE)')
}
