/*
 * The store of `feed`: the product's own statements on two connections, from a list in memory, with the change feed on or
 * off (FEED). Off: the triggers are disabled and the batch's statement announces nothing. Sends the measurements.
 */
import { makeChangeTick, openDatabase, storeEvents, type Database } from '@persona-ingest/database'
import { batchIds, readEvent, type PersonaEvent } from '@persona-ingest/persona'
import { planWrite, writeParameters } from '../../packages/database/src/store/plan-write.ts'
import { readStoredState } from '../../packages/database/src/store/stored-state.ts'
import { writeSqlFor } from '../../packages/database/src/store/write-sql.ts'
import { buildBodies, type Body } from '../harness/bodies.ts'

/** About what a worker's batches hold in a drain. */
const BATCH = 180
const COUNT = Number(process.env['COUNT'])
/** Statements that are not planned yet, and empty tables, would be measured else. */
const WARM_UP = Math.ceil(COUNT / 10)
const isOn = process.env['FEED'] === 'on'
const database = openDatabase({ url: process.env['DATABASE_URL'] ?? '', encryptionKeys: [], connections: 4 })

/** As `storeEvents` does where no event redacts, with rows that are not announced. */
async function storeUnannounced({ sql }: Database, events: readonly PersonaEvent[]): Promise<void> {
  const known = await readStoredState(sql, batchIds(events))
  const plan = planWrite({ events, known, redactions: new Map(), erasures: new Map() })
  const statement = writeSqlFor({ announced: 'by-trigger', cause: 'event', isReplay: false })
  await sql.query(statement, writeParameters(plan, known.epoch, sql.keys))
}

const read = ({ bytes }: Body): PersonaEvent =>
  readEvent({ body: bytes, environment: 'production', receivedAtMs: Date.now() })

async function store(bodies: readonly Body[]): Promise<void> {
  let next = 0
  const lane = async (): Promise<void> => {
    while (next < bodies.length) {
      const events = bodies.slice(next, (next += BATCH)).map(read)
      await (isOn ? storeEvents(database, events) : storeUnannounced(database, events))
    }
  }
  const ticks = setInterval(() => void (isOn ? makeChangeTick(database) : undefined), 100)
  await Promise.all([lane(), lane()])
  clearInterval(ticks)
}

const walSql = `SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::float8 AS bytes`
const walBytes = async (): Promise<number> => (await database.sql.query<{ bytes: number }>(walSql, []))[0]?.bytes ?? NaN

if (!isOn)
  for (const table of ['inquiries', 'verifications', 'resources'])
    await database.sql.query(`ALTER TABLE ${table} DISABLE TRIGGER USER`, [])
const bodies = buildBodies({ seed: 'feed', count: COUNT + WARM_UP, order: 'live', startAtMs: Date.now() - 3_600_000 })
await store(bodies.slice(0, WARM_UP))
process.send?.('warm')
await new Promise((resolve) => process.once('message', resolve))
const walBefore = await walBytes()
const cpu = process.cpuUsage()
const startedAt = performance.now()
await store(bodies.slice(WARM_UP))
const seconds = (performance.now() - startedAt) / 1000
const { user, system } = process.cpuUsage(cpu)
const walPerEvent = ((await walBytes()) - walBefore) / COUNT
process.send?.({ perSecond: COUNT / seconds, nodeMs: (user + system) / 1000 / COUNT, walPerEvent })
await database.close()
process.disconnect()
