import { isDeepStrictEqual } from 'node:util'
import fc from 'fast-check'
import t from 'tap'
import {
  compareClaims,
  compareClocks,
  foldEvents,
  mergeStates,
  type ObjectState,
  type PersonaEvent,
} from '../../src/index.ts'
import { documents } from '../model/arbitrary-document.ts'
import { documentText, storableTexts } from '../model/arbitrary-json.ts'
import { edited, readText } from '../model/event-document.ts'
import { propertyRuns } from '../model/property-runs.ts'

/** Up to seven events of few objects and fewer times; like the log, each id once. */
const history = fc
  .array(documents(storableTexts), { minLength: 1, maxLength: 7 })
  .map((told) =>
    told.map(({ document }, index) =>
      readText(documentText(edited(document, ['data', 'id'], `evt_${(index * 5) % 7}`))),
    ),
  )

/** A history, an order of delivery with repetitions, and where batches end. */
const delivered = history.chain((events) =>
  fc.record({
    events: fc.constant(events),
    order: fc
      .subarray(events)
      .chain((again) => fc.shuffledSubarray([...events, ...again], { minLength: events.length + again.length })),
    sizes: fc.array(fc.integer({ min: 1, max: 3 }), { minLength: 1, maxLength: 5 }),
  }),
)

function mergeMaps(left: ReadonlyMap<string, ObjectState>, right: ReadonlyMap<string, ObjectState>) {
  const merged = new Map(left)
  for (const [id, state] of right) {
    const known = merged.get(id)
    merged.set(id, known === undefined ? state : mergeStates(known, state))
  }
  return merged
}

function byId(states: ReadonlyMap<string, ObjectState>): readonly (readonly [string, ObjectState])[] {
  return [...states].toSorted(([left], [right]) => (left < right ? -1 : Number(left > right)))
}

function mustEqual(left: unknown, right: unknown): void {
  if (!isDeepStrictEqual(left, right)) throw new Error(`${JSON.stringify(left)}\n${JSON.stringify(right)}`)
}

t.test('any order, repetition and grouping of events folds into the same states', async () => {
  fc.assert(
    fc.property(delivered, ({ events, order, sizes }) => {
      const expected = byId(foldEvents(events))
      mustEqual(byId(foldEvents(order)), expected)
      let grouped: ReadonlyMap<string, ObjectState> = new Map()
      for (let at = 0, batch = 0; at < order.length; batch += 1) {
        const size = sizes[batch % sizes.length] ?? 1
        grouped = mergeMaps(foldEvents(order.slice(at, at + size)), grouped)
        at += size
      }
      mustEqual(byId(grouped), expected)
    }),
    propertyRuns(150),
  )
})

t.test('a merge is commutative, associative and idempotent', async () => {
  const parts = history.chain((events) =>
    fc.tuple(fc.subarray(events), fc.subarray(events), fc.subarray(events)).map((sides) => sides.map(foldEvents)),
  )
  fc.assert(
    fc.property(parts, ([a = new Map(), b = new Map(), c = new Map()]) => {
      mustEqual(byId(mergeMaps(a, b)), byId(mergeMaps(b, a)))
      mustEqual(byId(mergeMaps(mergeMaps(a, b), c)), byId(mergeMaps(a, mergeMaps(b, c))))
      mustEqual(byId(mergeMaps(a, a)), byId(a))
      mustEqual(byId(mergeMaps(mergeMaps(a, b), b)), byId(mergeMaps(a, b)))
    }),
    propertyRuns(150),
  )
})

/**
 * What is documented of one object, found by looking through the events from the newest down.
 *
 * @see docs/contract.md#4-database-postgresql-schema-public
 */
function expectedState(events: readonly PersonaEvent[], id: string) {
  const newestFirst = events.toSorted((left, right) => compareClocks(right.clock, left.clock))
  const standing = newestFirst.flatMap((event) =>
    [event.primary, ...event.included].filter((object) => object.id === id).map((object) => ({ event, object })),
  )
  const claiming = newestFirst.find((event) => event.claims.some((claim) => claim.objectId === id))
  const claims = claiming?.claims.filter((claim) => claim.objectId === id).toSorted(compareClaims)
  const named = newestFirst.flatMap((event) => event.references.filter((reference) => reference.id === id))
  return {
    snapshot: standing[0]?.object.snapshot ?? null,
    snapshotEvent: standing[0]?.event.id ?? null,
    status: standing.find(({ object }) => object.status !== null)?.object.status ?? null,
    inquiryId: claims?.at(-1)?.inquiryId ?? null,
    referenceType: named[0]?.type ?? null,
  }
}

t.test('each part of a state is the newest that any event tells of it', async () => {
  fc.assert(
    fc.property(delivered, ({ events, order }) => {
      const ids = new Set(
        events.flatMap((event) => [
          ...[event.primary, ...event.included, ...event.references].map((object) => object.id),
          ...event.claims.map((claim) => claim.objectId),
        ]),
      )
      const states = foldEvents(order)
      if (states.size !== ids.size) throw new Error(`expected ${[...ids].join()}, got ${[...states.keys()].join()}`)
      for (const [id, state] of states)
        mustEqual(
          {
            snapshot: state.snapshot?.value ?? null,
            snapshotEvent: state.snapshot?.clock.eventId ?? null,
            status: state.status?.value ?? null,
            inquiryId: state.claim?.inquiryId ?? null,
            referenceType: state.reference?.type ?? null,
          },
          expectedState(events, id),
        )
    }),
    propertyRuns(150),
  )
})
