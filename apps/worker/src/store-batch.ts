import type { Failure } from '@persona-ingest/database'
import type { PersonaEvent } from '@persona-ingest/persona'
import type { EventStore, StoreVerdict } from './event-store.ts'
import type { Outage } from './outage.ts'

export type BatchVerdicts = ReadonlyMap<string, StoreVerdict>

type Judged = { readonly kind: 'outage' } | { readonly kind: 'theirs'; readonly failure: Failure }

/** Conflicts between transactions pass when they are tried again; more often than this, it is no passing conflict. */
const CONFLICT_STATES = new Set(['40001', '40P01'])
const MAX_CONFLICTS = 5

async function canWrite(store: EventStore): Promise<boolean> {
  return store.tryWriting().then(
    () => true,
    () => false,
  )
}

/** An unclear failure is an outage, unless the database takes a write that is none of these events. */
async function judge(store: EventStore, failure: Failure): Promise<Judged> {
  if (failure.kind === 'outage') return { kind: 'outage' }
  if (failure.kind === 'unclear' && !(await canWrite(store))) return { kind: 'outage' }
  return { kind: 'theirs', failure }
}

/** Whether a failure is everybody's, so that it costs time and no attempt. */
export async function isOutage(store: EventStore, failure: Failure): Promise<boolean> {
  return (await judge(store, failure)).kind === 'outage'
}

function forAll(events: readonly PersonaEvent[], verdict: StoreVerdict): BatchVerdicts {
  return new Map(events.map((event) => [event.id, verdict]))
}

async function storeWhole(store: EventStore, events: readonly PersonaEvent[]): Promise<BatchVerdicts | Failure> {
  for (let conflicts = 0; ; conflicts += 1) {
    try {
      const outcomes = await store.storeEvents(events)
      const batchSize = events.length
      return new Map([...outcomes].map(([id, outcome]) => [id, { verdict: 'stored', outcome, batchSize }]))
    } catch (error) {
      const failure = store.failureOf(error)
      if (!CONFLICT_STATES.has(failure.sqlState ?? '') || conflicts >= MAX_CONFLICTS) return failure
    }
  }
}

type StoreContext = { readonly store: EventStore; readonly outage: Outage }

/** Out of disk or memory: what is small still passes, the canary too. */
const SHORTAGE = /^53/

function isShortage(failure: Failure): boolean {
  return SHORTAGE.test(failure.sqlState ?? '')
}

/** The events that failed for want of disk or memory, and the first one's failure. */
function shortOf(events: readonly PersonaEvent[], verdicts: BatchVerdicts) {
  const failureFor = (event: PersonaEvent): Failure | null => {
    const verdict = verdicts.get(event.id)
    return verdict?.verdict === 'failed' && isShortage(verdict.failure) ? verdict.failure : null
  }
  const short = events.filter((event) => failureFor(event) !== null)
  return { short, failure: short[0] === undefined ? null : failureFor(short[0]) }
}

/**
 * Stores a batch and tells what became of each event. Never rejects.
 *
 * - An outage costs time only: the batch waits and is tried again for as long as it lasts, or is handed back in a drain.
 * - A failure of the events' own: the batch is halved until the faulty event stands alone, in O(log n) writes; the
 *   others go through.
 * - A shortage is an outage too, unless events pass meanwhile, in this batch or in another.
 */
export async function storeBatch(context: StoreContext, events: readonly PersonaEvent[]): Promise<BatchVerdicts> {
  const { outage } = context
  const storedBefore = outage.batchesStored
  const verdicts = new Map<string, StoreVerdict>()
  let isSecondTry = false
  for (let pending = events; ;) {
    for (const [id, verdict] of await storeOrSplit(context, pending)) verdicts.set(id, verdict)
    const { short, failure } = shortOf(pending, verdicts)
    if (failure === null) return verdicts
    const othersPass = outage.batchesStored > storedBefore
    if (othersPass && isSecondTry) return verdicts
    // The shortage may have ended in the middle of the batch: what met it gets another try before it is to blame.
    isSecondTry = othersPass
    pending = short
    if (othersPass || (await outage.wait(failure.description))) continue
    for (const event of short) verdicts.set(event.id, { verdict: 'released' })
    return verdicts
  }
}

/** Whether a failure may still be an outage's that ended before we asked whose it is: only a second try tells. */
function mayBeOver(events: readonly PersonaEvent[], failure: Failure): boolean {
  return events.length === 1 && failure.kind === 'unclear'
}

async function storeOrSplit(context: StoreContext, events: readonly PersonaEvent[]): Promise<BatchVerdicts> {
  let isSecondTry = false
  for (;;) {
    const result = await storeWhole(context.store, events)
    if (!('kind' in result)) {
      context.outage.noteStored()
      return result
    }
    const judged = await judge(context.store, result)
    if (judged.kind === 'theirs') {
      if (!isShortage(judged.failure)) context.outage.end()
      if (isSecondTry || !mayBeOver(events, judged.failure)) return splitBatch(context, events, judged.failure)
      isSecondTry = true
    } else {
      isSecondTry = false
      if (!(await context.outage.wait(result.description))) return forAll(events, { verdict: 'released' })
    }
  }
}

async function splitBatch(
  context: StoreContext,
  events: readonly PersonaEvent[],
  failure: Failure,
): Promise<BatchVerdicts> {
  if (events.length === 1) {
    return forAll(events, { verdict: failure.kind === 'event' ? 'refused' : 'failed', failure })
  }
  const middle = Math.ceil(events.length / 2)
  const first = await storeOrSplit(context, events.slice(0, middle))
  const second = await storeOrSplit(context, events.slice(middle))
  return new Map([...first, ...second])
}
