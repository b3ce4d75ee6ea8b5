import { compareClocks, type Clock, type ObjectFamily } from '@persona-ingest/persona'
import { lettersOf, reduceDeadLetters } from '../dead-letters/redact.ts'
import { readLetter } from '../dead-letters/dead-letter.ts'
import { eraseStoredCopies, type ErasedCopies } from './redact-stored.ts'
import { raisedErasures } from '../store/erasure-plan.ts'
import { readKnownWorld, type KnownWorld } from '../store/stored-state.ts'
import { readStoredClaims, type StoredClaim } from '../store/stored-claims.ts'
import type { SqlExecutor } from '../sql/executor.ts'
import { planWrite, writeParameters } from '../store/plan-write.ts'
import { writeSql } from '../store/write-sql.ts'

/** An object to erase by our own word; of an inquiry also whatever it ever claimed, and its own events whole. */
export type ErasureTarget = {
  readonly id: string
  /** Which table it belongs to; for an object that is not stored yet, as far as it can be told. */
  readonly family: ObjectFamily
}

/** What an erasure took something from. */
export type Erased = ErasedCopies & { readonly letterIds: readonly string[] }

/** Above every rank of an event: an erasure reaches whatever is told of its own millisecond. */
export const ERASURE_RANK = 32_767

/** What is erased by our own word, as far as it is known. */
type Reach = {
  readonly known: KnownWorld
  readonly storedClaims: readonly StoredClaim[]
  readonly objectIds: readonly string[]
}

async function readReach(executor: SqlExecutor, { id, family }: ErasureTarget): Promise<Reach> {
  const storedClaims = family === 'inquiry' ? await readStoredClaims(executor, [id]) : []
  const objectIds = [...new Set([id, ...storedClaims.map((claim) => claim.objectId)])].toSorted()
  const known = await readKnownWorld(executor, { eventIds: [], objectIds, inquiryIds: [id] })
  if (known.objects.has(id)) return { known, storedClaims, objectIds }
  // Nothing is known of it but by dead letters: what is told of it later must find the erasure all the same.
  const objects = new Map([...known.objects, [id, { family, erasedAt: null }] as const])
  return { known: { ...known, objects }, storedClaims, objectIds }
}

const newestEventSql = `
SELECT (extract(epoch FROM max(created_at)) * 1000)::bigint::text AS newest FROM events WHERE id IN (
  SELECT id FROM events WHERE resource_id = ANY($1::text[])
  UNION SELECT event_id FROM event_objects WHERE object_id = ANY($1::text[]))`

/**
 * The clock of an erasure made now: it reaches all that is stored of the object, and nothing that is told after that. An
 * event may lie up to 24 hours ahead of us, so "now" alone would not do, and a later time would go on erasing.
 */
export async function erasureClock(
  executor: SqlExecutor,
  target: ErasureTarget,
  erasure: { readonly id: string; readonly nowMs: number },
): Promise<Clock> {
  const { known, objectIds } = await readReach(executor, target)
  const [row] = await executor.query<{ newest: string | null }>(newestEventSql, [objectIds])
  const earlier = [known.redactions.get(target.id), known.objects.get(target.id)?.erasedAt]
  let newestMs = Math.max(erasure.nowMs, Number(row?.newest ?? 0))
  for (const clock of earlier) newestMs = Math.max(newestMs, clock?.createdAtMs ?? 0)
  for await (const letters of lettersOf(executor, objectIds))
    for (const letter of letters) newestMs = Math.max(newestMs, readLetter(letter)?.clock.createdAtMs ?? 0)
  return { createdAtMs: newestMs, rank: ERASURE_RANK, eventId: erasure.id }
}

/**
 * Erases an object as a redaction at the given clock would, and stores it as one, so that it holds against whatever is
 * older and comes later. Only within an exclusive write. In any order with events it ends in the same rows.
 */
export async function eraseObject(executor: SqlExecutor, target: ErasureTarget, clock: Clock): Promise<Erased> {
  const { known, storedClaims } = await readReach(executor, target)
  const redactions = new Map(target.family === 'inquiry' ? [[target.id, clock]] : [])
  const erasures = raisedErasures({ events: [], known, redactions, storedClaims })
  const before = known.objects.get(target.id)?.erasedAt ?? null
  if (before === null || compareClocks(clock, before) > 0) erasures.set(target.id, clock)
  // All of its events are looked at, not only those since an earlier redaction: this one is asked for by a person.
  const copies = await eraseStoredCopies(executor, erasures, () => null)
  const letterIds = await reduceDeadLetters(executor, erasures)
  const plan = planWrite({ events: [], known, redactions, erasures })
  await executor.query(writeSql, writeParameters(plan, known.epoch, executor.keys))
  return { ...copies, letterIds }
}
