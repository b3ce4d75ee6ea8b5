import { randomUUID } from 'node:crypto'
import { batchIds, readEvent, type PersonaEvent } from '@persona-ingest/persona'
import type { Database } from '../database.ts'
import { inSharedWrite } from '../sql/write-transactions.ts'
import { readStoredState } from './stored-state.ts'
import { planWrite, writeParameters } from './plan-write.ts'
import { writeSections, writeSql } from './write-sql.ts'

const nothing = { eventIds: [], objectIds: [], inquiryIds: [] }

/**
 * Writes an empty batch and one row of its own. Resolves only where the database takes writes. It waits for exclusive
 * writes, so that many redactions do not look like an outage.
 */
export async function tryWriting(database: Database): Promise<void> {
  await inSharedWrite(database.sql, async (executor) => {
    const { epoch } = await readStoredState(executor, nothing)
    await executor.query(writeSql, [...writeSections.map(() => '[]'), epoch])
    await executor.query('UPDATE ingest_state SET canary_at = clock_timestamp() WHERE id = 1', [])
  })
}

/** An event about an object of its own. Its ids are random, so that two probes do not wait for each other. */
function probeEvent(): PersonaEvent {
  const id = randomUUID()
  const payload = { data: { type: 'persona-ingest-probe', id: `probe_${id}`, attributes: {} } }
  const attributes = { name: 'persona-ingest.probe', payload, 'created-at': new Date().toISOString() }
  const body = Buffer.from(JSON.stringify({ data: { type: 'event', id: `evt_probe_${id}`, attributes } }))
  return readEvent({ body, environment: 'sandbox', receivedAtMs: Date.now() })
}

/** Ends the transaction of a probe. */
class RolledBack extends Error {}

async function writeAndRollBack(database: Database): Promise<void> {
  const events = [probeEvent()]
  const work = inSharedWrite(database.sql, async (executor) => {
    const known = await readStoredState(executor, batchIds(events))
    const plan = planWrite({ events, known, redactions: new Map(), erasures: new Map() })
    await executor.query(writeSql, writeParameters(plan, known.epoch, executor.keys))
    // Checks now what a commit would check.
    await executor.query('SET CONSTRAINTS ALL IMMEDIATE', [])
    throw new RolledBack()
  })
  await work.catch((error: unknown) => {
    if (!(error instanceof RolledBack)) throw error
  })
}

/**
 * Writes an event and rolls it back, then {@link tryWriting}. Resolves only where the database takes the writes of events.
 * A trigger, a lock or a limit that fails all events fails this one too.
 */
export async function tryStoring(database: Database): Promise<void> {
  await writeAndRollBack(database)
  await tryWriting(database)
}
