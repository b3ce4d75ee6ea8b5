import { randomUUID } from 'node:crypto'
import { readEvent, type PersonaEvent } from '@persona-ingest/persona'
import type { PrismaClient } from '../generated/client.ts'
import { keysOf } from '../sealing/sealed-document.ts'
import { batchIds } from './batch-ids.ts'
import { readKnownWorld } from './known-world.ts'
import { isOutdated } from './outdated.ts'
import { sqlExecutor } from './sql-executor.ts'
import { planWrite, writeParameters } from './write-plan.ts'
import { writeSections, writeSql } from './write-sql.ts'

const MAX_REREADS = 5
const nothing = { eventIds: [], objectIds: [], inquiryIds: [] }
/** Above a statement's own timeout. */
const PROBE_TIMEOUT_MS = 60_000

async function writeNothing(prisma: PrismaClient): Promise<void> {
  const { epoch } = await readKnownWorld(sqlExecutor(prisma), nothing)
  await prisma.$transaction([
    prisma.$queryRawUnsafe(writeSql, ...writeSections.map(() => '[]'), epoch),
    prisma.$executeRawUnsafe('UPDATE ingest_state SET canary_at = clock_timestamp() WHERE id = 1'),
  ])
}

async function unlessOutdated(write: () => Promise<void>): Promise<void> {
  for (let reread = 0; ; reread += 1) {
    try {
      return await write()
    } catch (error) {
      if (!isOutdated(error) || reread >= MAX_REREADS) throw error
    }
  }
}

/** Writes a batch of nothing, and one row of our own: resolves only where the database takes writes at all. */
export async function tryWriting(prisma: PrismaClient): Promise<void> {
  await unlessOutdated(async () => writeNothing(prisma))
}

/** An event about an object of its own. Its ids are random: two probes at once must not wait for each other. */
function probeEvent(): PersonaEvent {
  const id = randomUUID()
  const payload = { data: { type: 'persona-ingest-probe', id: `probe_${id}`, attributes: {} } }
  const attributes = { name: 'persona-ingest.probe', payload, 'created-at': new Date().toISOString() }
  const body = Buffer.from(JSON.stringify({ data: { type: 'event', id: `evt_probe_${id}`, attributes } }))
  return readEvent({ body, environment: 'sandbox', receivedAtMs: Date.now() })
}

/** Ends the transaction of a probe. */
class RolledBack extends Error {}

async function writeAndRollBack(prisma: PrismaClient): Promise<void> {
  const events = [probeEvent()]
  const keys = keysOf(prisma)
  const work = prisma.$transaction(
    async (transaction) => {
      const executor = sqlExecutor(transaction, keys)
      const known = await readKnownWorld(executor, batchIds(events))
      const plan = planWrite({ events, known, redactions: new Map(), erasures: new Map() })
      await executor.query(writeSql, writeParameters(plan, known.epoch, keys))
      // What a commit would check is checked now.
      await transaction.$executeRawUnsafe('SET CONSTRAINTS ALL IMMEDIATE')
      throw new RolledBack()
    },
    { timeout: PROBE_TIMEOUT_MS },
  )
  await work.catch((error: unknown) => {
    if (!(error instanceof RolledBack)) throw error
  })
}

/**
 * Resolves only where the database takes the very writes that events need: {@link tryWriting}, and the write of an event
 * that is rolled back. A trigger, a lock or a limit that meets every event meets this one too.
 */
export async function tryStoring(prisma: PrismaClient): Promise<void> {
  await unlessOutdated(async () => writeAndRollBack(prisma))
  await tryWriting(prisma)
}
