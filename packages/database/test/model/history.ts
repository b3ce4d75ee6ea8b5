import { anEvent } from '@persona-ingest/testkit/events'
import fc from 'fast-check'

/**
 * Histories of events in an abstract form, small enough that objects, times and claims collide all the time.
 * The documents that are sent, and what the tables must then hold, are both made from it, apart from each other.
 */
export type AbstractObject = {
  readonly id: string
  readonly type: string
  readonly status: string | null | undefined
  readonly secret: string
  readonly redactedAt: string | null
  readonly relations: readonly { readonly name: string; readonly id: string; readonly type: string }[]
}
export type AbstractEvent = {
  readonly id: string
  readonly name: string
  readonly createdAtMs: number
  readonly primary: AbstractObject
  readonly included: readonly AbstractObject[]
}

/** An erasure by our own word, at a time of its own. */
export type AbstractErasure = { readonly erasedId: string; readonly type: string; readonly createdAtMs: number }

export const START_MS = Date.UTC(2026, 0, 1)

const identities = [
  ['inq_A', 'inquiry'],
  ['inq_B', 'inquiry'],
  ['ver_1', 'verification/selfie'],
  ['ver_2', 'verification/government-id'],
  ['rep_1', 'report/watchlist'],
  ['iqse_1', 'inquiry-session'],
  ['act_1', 'account'],
] as const
/** Objects beside inquiries and accounts that the provider redacts by a word of their own. */
const redactable = [
  ['act_1', 'account'],
  ['txn_1', 'transaction'],
  ['case_1', 'case'],
] as const
/** Disagreeing words on one object's type, across tables too. */
const odd = [
  ['odd_1', 'verification/basic'],
  ['odd_1', 'report/profile'],
  ['odd_1', 'document/generic'],
  ['odd_1', 'verification/database'],
  ['odd_1', 'inquiry'],
] as const

const identity = fc.oneof({ weight: 8, arbitrary: fc.constantFrom(...identities) }, fc.constantFrom(...odd))
const relation = fc
  .tuple(fc.constantFrom('inquiry', 'account', 'verifications', 'reports', 'reviewer'), identity)
  .map(([name, [id, type]]) => ({ name, id, type }))

function object(among: fc.Arbitrary<readonly [string, string]>): fc.Arbitrary<AbstractObject> {
  return fc
    .record({
      identity: among,
      status: fc.constantFrom('approved', 'declined', 'pending', null, undefined),
      secret: fc.integer({ min: 1, max: 999_999 }).map((number) => `secret-${number}`),
      // An empty text is no time, but not null either.
      redactedAt: fc.constantFrom(...Array<null>(18).fill(null), '2026-01-01T00:00:00.000Z', ''),
      relations: fc.array(relation, { maxLength: 3 }),
    })
    .map(({ identity: [id, type], ...rest }) => ({ id, type, ...rest }))
}

const inquiryNames = ['created', 'started', 'transitioned', 'approved', 'declined', 'redacted', 'updated-tags']
const inquiryEvent = fc.record({
  name: fc.constantFrom(...inquiryNames).map((verb) => `inquiry.${verb}`),
  primary: object(fc.constantFrom(identities[0], identities[1])),
})
const otherEvent = fc.record({
  name: fc.constantFrom('verification.passed', 'verification.created', 'report/watchlist.ready', 'account.created'),
  primary: object(identity),
})
const redactableEvent = fc
  .record({ verb: fc.constantFrom('redacted', 'updated-fields'), primary: object(fc.constantFrom(...redactable)) })
  .map(({ verb, primary }) => ({ name: `${primary.type}.${verb}`, primary }))

/** Up to `maxLength` events; several share a millisecond. */
export function history(maxLength: number): fc.Arbitrary<readonly AbstractEvent[]> {
  const event = fc.record({
    about: fc.oneof(
      { weight: 4, arbitrary: inquiryEvent },
      { weight: 4, arbitrary: otherEvent },
      { weight: 1, arbitrary: redactableEvent },
    ),
    offsetMs: fc.integer({ min: 0, max: 5 }),
    included: fc.array(object(fc.oneof({ weight: 12, arbitrary: identity }, fc.constantFrom(...redactable))), {
      maxLength: 3,
    }),
  })
  return fc.array(event, { minLength: 1, maxLength }).map((events) =>
    events.map(({ about, offsetMs, included }, index) => ({
      id: `evt_${index}`,
      createdAtMs: START_MS + offsetMs,
      included,
      ...about,
    })),
  )
}

/** Up to two erasures, of objects that the histories may tell of. */
export const erasures: fc.Arbitrary<readonly AbstractErasure[]> = fc.array(
  fc
    .tuple(fc.constantFrom(identities[0], identities[1], identities[2], identities[6]), fc.integer({ min: 0, max: 5 }))
    .map(([[erasedId, type], offsetMs]) => ({ erasedId, type, createdAtMs: START_MS + offsetMs })),
  { maxLength: 2 },
)

function documentOf(object: AbstractObject): unknown {
  const relationships: Record<string, unknown> = {}
  for (const { name, id, type } of object.relations) {
    const known = relationships[name] as { data: unknown[] } | undefined
    relationships[name] = { data: [...(known?.data ?? []), { type, id }] }
  }
  const attributes: Record<string, unknown> = {
    'created-at': '2026-01-01T00:00:00.000Z',
    'redacted-at': object.redactedAt,
    'name-first': object.secret,
  }
  if (object.status !== undefined) attributes['status'] = object.status
  if (object.type === 'inquiry') attributes['reference-id'] = object.secret
  return { type: object.type, id: object.id, attributes, relationships }
}

/** The body that a delivery of an event brings. */
export function bodyOf(event: AbstractEvent): Uint8Array {
  const createdAt = new Date(event.createdAtMs).toISOString()
  const { id, name } = event
  const data = documentOf(event.primary)
  return Buffer.from(JSON.stringify(anEvent({ id, name, createdAt, data, included: event.included.map(documentOf) })))
}

/** The same event or erasure about objects of its own, so that every permutation lives beside others in one database. */
export function renamed<Item extends AbstractEvent | AbstractErasure>(item: Item, suffix: string): Item {
  if ('erasedId' in item) return { ...item, erasedId: item.erasedId + suffix }
  const rename = (object: AbstractObject): AbstractObject => ({
    ...object,
    id: object.id + suffix,
    relations: object.relations.map((relation) => ({ ...relation, id: relation.id + suffix })),
  })
  return { ...item, id: item.id + suffix, primary: rename(item.primary), included: item.included.map(rename) }
}
