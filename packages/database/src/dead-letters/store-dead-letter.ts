import type { PrismaClient } from '../generated/client.ts'
import { erasureLookup } from '../ingest/erasure-plan.ts'
import { readKnownWorld } from '../ingest/known-world.ts'
import { sqlExecutor } from '../ingest/sql-executor.ts'
import { isoTime } from '../ingest/projection-row.ts'
import { isOutdated } from '../ingest/outdated.ts'
import { sealBytes } from '../sealing/sealed-document.ts'
import { bodySha256, objectIdsOf, placeOfBody, reduceLetterBody, type DeadLetter } from './dead-letter.ts'

const MAX_REREADS = 20

/**
 * One row per event id, or per distinct bytes where the id is unreadable. A letter that failed again is open again.
 * A failed event that another worker stored meanwhile is no failure any more.
 */
function upsertLetterSql(conflict: string): string {
  return `
INSERT INTO dead_letters AS stored (event_id, environment, reason, error, body, body_sha256, object_ids, received_at,
  failed_at, attempts, state, resolved_at)
SELECT $1, $2, $3, $4, $5, $6, $7::text[], $8::timestamptz, clock_timestamp(), $9,
  CASE WHEN is_stored THEN 'replayed' ELSE 'open' END, CASE WHEN is_stored THEN clock_timestamp() END
FROM (SELECT $9::int > 0 AND EXISTS (SELECT FROM events WHERE id = $1) AS is_stored) AS known
ON CONFLICT ${conflict} DO UPDATE SET
  environment = excluded.environment, reason = excluded.reason, error = excluded.error, body = excluded.body,
  body_sha256 = excluded.body_sha256, object_ids = excluded.object_ids, failed_at = excluded.failed_at,
  attempts = excluded.attempts, state = excluded.state, resolved_at = excluded.resolved_at`
}
const byEventSql = upsertLetterSql('(event_id)')
const byBytesSql = upsertLetterSql('(body_sha256) WHERE event_id IS NULL')

async function writeLetter(prisma: PrismaClient, letter: DeadLetter): Promise<void> {
  const objectIds = objectIdsOf(letter)
  const executor = sqlExecutor(prisma)
  const known = await readKnownWorld(executor, { eventIds: [], objectIds, inquiryIds: [] })
  const body = reduceLetterBody(letter, erasureLookup(known, new Map())) ?? letter.body
  const sha256 = bodySha256(letter.body)
  await prisma.$transaction([
    prisma.$queryRawUnsafe('SELECT begin_shared_write($1::text::bigint)::text', known.epoch),
    prisma.$executeRawUnsafe(
      letter.eventId === null ? byBytesSql : byEventSql,
      letter.eventId,
      letter.environment,
      letter.reason,
      letter.error,
      Buffer.from(sealBytes(body, placeOfBody(sha256), executor.keys)),
      sha256,
      objectIdsOf({ ...letter, body }),
      isoTime(letter.receivedAtMs),
      letter.attempts,
    ),
  ])
}

/** Keeps a delivery as a dead letter; its body reduced where a redaction reaches it. Safe to repeat. */
export async function storeDeadLetter(prisma: PrismaClient, letter: DeadLetter): Promise<void> {
  for (let reread = 0; ; reread += 1) {
    try {
      return await writeLetter(prisma, letter)
    } catch (error) {
      if (!isOutdated(error) || reread >= MAX_REREADS) throw error
    }
  }
}
