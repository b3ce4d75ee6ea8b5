import { objectRow, redactionRows } from '../redaction/plan-redaction.ts'
import type { KeyRing } from '@persona-ingest/core'
import {
  compareClockedClaims,
  compareClocks,
  familyOf,
  foldEvents,
  type Clock,
  type ObjectFamily,
  type ObjectState,
  type PersonaEvent,
} from '@persona-ingest/persona'
import type { StoredState, StoredClocks } from './stored-state.ts'
import { projectionRow } from './projection-row.ts'
import { encodeRows, isoTime, PersonalBytes, PersonalJson, type Row } from '../sql/row-values.ts'
import { writeSections, type WriteSection } from './write-sql.ts'

/** An object whose row must move, because its newest type belongs to another table. */
export type FamilyMove = { readonly id: string; readonly from: ObjectFamily; readonly to: ObjectFamily }

export type WritePlan = {
  readonly sections: Readonly<Record<WriteSection, readonly Row[]>>
  /** Non-empty only where the write must run alone. */
  readonly moves: readonly FamilyMove[]
}

const NOTHING_STORED: StoredClocks = { snapshot: null, status: null, reference: null, claim: null }

function isNewer(told: { readonly clock: Clock } | null, stored: Clock | null): boolean {
  return told !== null && (stored === null || compareClocks(told.clock, stored) > 0)
}

function winsRow(state: ObjectState, stored: StoredClocks): boolean {
  if (state.snapshot !== null) return isNewer(state.snapshot, stored.snapshot)
  return stored.snapshot === null && isNewer(state.reference, stored.reference)
}

/** Whether any part of a row may change. An upsert that changes nothing would still lock the row. */
function mayChange(state: ObjectState, stored: StoredClocks): boolean {
  if (winsRow(state, stored) || isNewer(state.status, stored.status)) return true
  if (state.claim === null) return false
  return stored.claim === null || compareClockedClaims(state.claim, stored.claim) > 0
}

function toldFamily(state: ObjectState): ObjectFamily {
  return state.snapshot?.value.family ?? familyOf(state.reference?.type ?? null)
}

function eventRow(event: PersonaEvent): Row {
  const body = event.originalBytes
  return {
    id: event.id,
    environment: event.environment,
    name: event.name,
    created_at: isoTime(event.clock.createdAtMs),
    rank: event.clock.rank,
    resource_type: event.primary.snapshot.type,
    resource_id: event.primary.id,
    inquiry_id: event.inquiryId,
    status: event.primary.status,
    payload: new PersonalJson(event.payloadText, ['events', event.id, 'payload']),
    original_body: body === null ? null : new PersonalBytes(body, ['events', event.id, 'original_body']),
    received_at: isoTime(event.receivedAtMs),
  }
}

function distinct(rows: readonly (readonly [string, string])[]): readonly (readonly [string, string])[] {
  const keyed = new Map(rows.map((row) => [JSON.stringify(row), row]))
  return [...keyed.keys()].toSorted().map((key) => keyed.get(key) as readonly [string, string])
}

function claimRows(events: readonly PersonaEvent[]): readonly Row[] {
  const pairs = events.flatMap((event) => event.claims.map((claim) => [claim.inquiryId, claim.objectId] as const))
  return distinct(pairs).map(([inquiryId, objectId]) => ({ inquiry_id: inquiryId, object_id: objectId }))
}

function eventObjectRows(events: readonly PersonaEvent[]): readonly Row[] {
  const pairs = events.flatMap((event) => event.included.map((object) => [object.id, event.id] as const))
  return distinct(pairs).map(([objectId, eventId]) => ({ object_id: objectId, event_id: eventId }))
}

type ObjectPlan = { readonly family: ObjectFamily; readonly row: Row | null; readonly move: FamilyMove | null }

function planObject(state: ObjectState, known: StoredState): ObjectPlan {
  const told = toldFamily(state)
  const family = known.objects.get(state.id)?.family ?? told
  const stored = known.clocks.get(state.id) ?? NOTHING_STORED
  const moves = family !== told && winsRow(state, stored)
  const target = moves ? told : family
  return {
    family: target,
    row: mayChange(state, stored) ? projectionRow(target, state) : null,
    move: moves ? { id: state.id, from: family, to: told } : null,
  }
}

/** An object in an event whose snapshot was reduced, since a redaction reaches it. */
export type ReducedObject = { readonly id: string; readonly event_id: string }

/**
 * Decides everything that a batch writes; pure. `events` are new, distinct, and redacted already, in which they lost
 * `reduced`. `redactions` and `erasures` are those that the batch raises.
 */
export function planWrite(input: {
  readonly events: readonly PersonaEvent[]
  readonly known: StoredState
  readonly redactions: ReadonlyMap<string, Clock>
  readonly erasures: ReadonlyMap<string, Clock>
  readonly reduced?: readonly ReducedObject[]
}): WritePlan {
  const { events, known, redactions, erasures, reduced = [] } = input
  const states = foldEvents(events)
  const rows: Record<ObjectFamily, Row[]> = { inquiry: [], verification: [], resource: [] }
  const objects: Row[] = []
  const moves: FamilyMove[] = []
  const ids = new Set([...states.keys(), ...erasures.keys()])
  for (const id of [...ids].toSorted()) {
    const state = states.get(id)
    const plan = state === undefined ? null : planObject(state, known)
    if (plan?.row) rows[plan.family].push(plan.row)
    if (plan?.move) moves.push(plan.move)
    const family = plan?.family ?? known.objects.get(id)?.family
    const isNews = !known.objects.has(id) || erasures.has(id)
    if (isNews && family !== undefined) objects.push(objectRow(id, family, erasures.get(id)))
  }
  return {
    sections: {
      events: events.toSorted((left, right) => compareClocks(left.clock, right.clock)).map(eventRow),
      objects,
      claims: claimRows(events),
      eventObjects: eventObjectRows(events),
      ...rows,
      redactions: redactionRows(redactions),
      reduced,
    },
    moves,
  }
}

/** The parameters of the write statement. The plan was made from the state stored at `epoch`. */
export function writeParameters(plan: Pick<WritePlan, 'sections'>, epoch: string, keys: KeyRing): readonly string[] {
  return [...writeSections.map((section) => encodeRows(plan.sections[section], keys)), epoch]
}
