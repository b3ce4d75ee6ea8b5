import { batchIds, reduceEvent, type Clock, type PersonaEvent } from '@persona-ingest/persona'
import type { Database } from '../database.ts'
import { redactStoredCopies } from '../redaction/redact-stored.ts'
import { redactDeadLetters } from '../dead-letters/redact.ts'
import {
  erasureLookup,
  newRedactions,
  raisedErasures,
  readStoredClaims,
  type StoredClaim,
} from '../redaction/plan-redaction.ts'
import { inExclusiveWrite, isOutdated, setChangeCause } from '../sql/write-transactions.ts'
import { readStoredState, type StoredState } from './stored-state.ts'
import { moveRows } from './move-rows.ts'

import { type SqlExecutor } from '../sql/executor.ts'

import { planWrite, writeParameters, type ReducedObject } from './plan-write.ts'
import { writeSqlFor, type Announced, type StoreCause } from './write-sql.ts'

/**
 * The outcome of an event. `applied`: the row of its object holds its snapshot. `stale`: the row holds a snapshot with a
 * greater clock; the event is logged and changes no value. `duplicate`: the log has the event already.
 *
 * @see compareClocks of `packages/persona` for the order of clocks
 */
export type StoreOutcome = 'applied' | 'stale' | 'duplicate'
export type StoreOutcomes = ReadonlyMap<string, StoreOutcome>

type WrittenEvent = { readonly id: string; readonly outcome: 'applied' | 'stale' }

/** A shared write that an exclusive write has outdated is read again this often; then it runs alone. */
const MAX_REREADS = 5

/** For duplicates; the write statement resolves the dead letters of the events that it stores. */
const resolveDeadLettersSql = 'SELECT resolve_dead_letters($1::text[])::text'

function firstOfEach(events: readonly PersonaEvent[]): readonly PersonaEvent[] {
  const first = new Map<string, PersonaEvent>()
  for (const event of events) if (!first.has(event.id)) first.set(event.id, event)
  return [...first.values()]
}

function outcomesOf(events: readonly PersonaEvent[], written: readonly WrittenEvent[]): Map<string, StoreOutcome> {
  const outcomes = new Map<string, StoreOutcome>(events.map((event) => [event.id, 'duplicate']))
  for (const { id, outcome } of written) outcomes.set(id, outcome)
  return outcomes
}

export type StoreOptions = {
  /** Told in the change feed. Default: `event`; `replay` with `isReplay`. */
  readonly cause?: StoreCause
  /** Processes again events that are in the log, and passes over those that are not. Default: the other way round. */
  readonly isReplay?: boolean
}

type Decision = {
  readonly fresh: readonly PersonaEvent[]
  readonly redactions: ReadonlyMap<string, Clock>
  readonly erasures: ReadonlyMap<string, Clock>
  readonly plan: ReturnType<typeof planWrite>
}

function reducedObjects(event: PersonaEvent, reduced: PersonaEvent): readonly ReducedObject[] {
  if (reduced === event) return []
  const before = [event.primary, ...event.included]
  return [reduced.primary, ...reduced.included]
    .filter(({ snapshot }, index) => snapshot !== before[index]?.snapshot)
    .map(({ id }) => ({ id, event_id: event.id }))
}

function decide(
  events: readonly PersonaEvent[],
  known: StoredState,
  options: StoreOptions,
  storedClaims: readonly StoredClaim[] = [],
): Decision {
  const unseen = events.filter((event) => known.eventIds.has(event.id) === (options.isReplay === true))
  const redactions = newRedactions(unseen, known)
  const erasures = raisedErasures({ events: unseen, known, redactions, storedClaims })
  const lookup = erasureLookup(known, erasures)
  const fresh = unseen.map((event) => reduceEvent(event, lookup))
  const reduced = unseen.flatMap((event, index) => reducedObjects(event, fresh[index] ?? event))
  return { fresh, redactions, erasures, plan: planWrite({ events: fresh, known, redactions, erasures, reduced }) }
}

/** A redaction, a claim on a redacted inquiry, and a change of family touch rows outside of the batch. */
function mustRunAlone({ redactions, erasures, plan }: Decision): boolean {
  return redactions.size > 0 || erasures.size > 0 || plan.moves.length > 0
}

/** Resolves the dead letters of duplicates, also where other events of the batch are new. */
async function resolveDeadLetters(executor: SqlExecutor, known: StoredState, { fresh }: Decision): Promise<void> {
  const written = new Set(fresh.map((event) => event.id))
  const duplicates = [...known.eventIds].filter((id) => !written.has(id))
  if (duplicates.length > 0) await executor.query(resolveDeadLettersSql, [duplicates])
}

function causeOf({ isReplay = false, cause = 'event' }: StoreOptions): StoreCause {
  return isReplay ? 'replay' : cause
}

function sqlFor(announced: Announced, options: StoreOptions): string {
  return writeSqlFor({ announced, isReplay: options.isReplay === true, cause: causeOf(options) })
}

const redactedCauseSql = `
UPDATE changes_pending SET cause = later_cause(cause, 'redaction')
WHERE object_id = ANY($1::text[])
  OR (object_id, event_id) IN (SELECT id, event_id FROM jsonb_to_recordset($2::jsonb) AS sent(id text, event_id text))`

async function writeAlone(
  executor: SqlExecutor,
  events: readonly PersonaEvent[],
  options: StoreOptions,
): Promise<StoreOutcomes> {
  const ids = batchIds(events)
  const first = await readStoredState(executor, ids)
  const redacted = [...newRedactions(events, first).keys()]
  const storedClaims = await readStoredClaims(executor, redacted)
  const objectIds = [...new Set([...ids.objectIds, ...storedClaims.map((claim) => claim.objectId)])].toSorted()
  const known = await readStoredState(executor, { ...ids, objectIds })
  const decision = decide(events, known, options, storedClaims)
  await moveRows(executor, decision.plan.moves)
  // Before the write: stored copies and new ones are redacted by the same lookup.
  await setChangeCause(executor, 'redaction')
  await redactStoredCopies(executor, decision.erasures, erasureLookup(known, new Map()))
  await redactDeadLetters(executor, decision.erasures)
  await setChangeCause(executor, causeOf(options))
  const written =
    decision.fresh.length === 0
      ? []
      : await executor.query<WrittenEvent>(
          sqlFor('by-trigger', options),
          writeParameters(decision.plan, known.epoch, executor.keys),
        )
  // Rows that only the write has changed: those of redacting snapshots, and those of snapshots reduced when they arrived.
  const { reduced } = decision.plan.sections
  if (decision.erasures.size + reduced.length > 0)
    await executor.query(redactedCauseSql, [[...decision.erasures.keys()], JSON.stringify(reduced)])
  await resolveDeadLetters(executor, known, decision)
  return outcomesOf(events, written)
}

async function storeShared(
  database: Database,
  events: readonly PersonaEvent[],
  options: StoreOptions,
): Promise<StoreOutcomes | 'must-run-alone'> {
  const ids = batchIds(events)
  const executor = database.sql
  const known = await readStoredState(executor, ids)
  const decision = decide(events, known, options)
  if (mustRunAlone(decision)) return 'must-run-alone'
  // A statement is a transaction of its own: two round trips store a batch without duplicates.
  const written =
    decision.fresh.length === 0
      ? []
      : await executor.query<WrittenEvent>(
          sqlFor('by-statement', options),
          writeParameters(decision.plan, known.epoch, executor.keys),
        )
  await resolveDeadLetters(executor, known, decision)
  return outcomesOf(events, written)
}

/**
 * Stores a batch of events in one transaction: the log, the projections, and the tables for erasure. All or nothing.
 *
 * Any order, repetition, grouping and number of callers ends in the same rows. Returns each event's outcome by id.
 * Rejects with the database's error, which `failureOf` classifies.
 */
export async function storeEvents(
  database: Database,
  batch: readonly PersonaEvent[],
  options: StoreOptions = {},
): Promise<StoreOutcomes> {
  const events = firstOfEach(batch)
  for (let reread = 0; ; reread += 1) {
    try {
      const outcomes = reread < MAX_REREADS ? await storeShared(database, events, options) : 'must-run-alone'
      return outcomes === 'must-run-alone'
        ? await inExclusiveWrite(database.sql, causeOf(options), (executor) => writeAlone(executor, events, options))
        : outcomes
    } catch (error) {
      if (!isOutdated(error) || reread > MAX_REREADS) throw error
    }
  }
}
