import fc from 'fast-check'
import t from 'tap'
import {
  foldEvents,
  prunedPayload,
  reducedObjectIn,
  reduceEvent,
  type Clock,
  type RedactionLookup,
  type PersonaEvent,
} from '../../src/index.ts'
import { columnKinds, snapshotColumns } from '../../src/columns.ts'
import { documents } from '../model/arbitrary-document.ts'
import { documentText, PLAIN_KEYS } from '../model/arbitrary-json.ts'
import { canonical, canonicalText, jsonbText } from '../model/canonical.ts'
import { readText } from '../model/event-document.ts'
import { propertyRuns } from '../model/property-runs.ts'

const MARK = 'SECRET'
/** Every text that is no id, type, status, time or name of an event or relationship carries the mark. */
const marked = documents(fc.constantFrom(MARK, `${MARK}-1`, `a ${MARK}`), PLAIN_KEYS)

const everything: RedactionLookup = () => ({ createdAtMs: Number.MAX_SAFE_INTEGER, rank: 0, eventId: 'z' })

/** Redactions of some objects, each older than an event, the event itself, or newer. */
const lookups = fc.dictionary(
  fc.constantFrom('inq_A', 'inq_B', 'ver_1', 'rep_1', 'iqse_1', 'x_1', 'act_1'),
  fc.constantFrom(-1, 0, 0, 1, 1),
)

function lookupOf(event: PersonaEvent, shifts: Readonly<Record<string, number>>): RedactionLookup {
  return (objectId): Clock | null => {
    const shift = Object.hasOwn(shifts, objectId) ? shifts[objectId] : undefined
    return shift === undefined ? null : { ...event.clock, createdAtMs: event.clock.createdAtMs + shift }
  }
}

function objectsOf(event: PersonaEvent) {
  return [event.primary, ...event.included]
}

t.test('an erased event holds no text but ids, types, names, statuses and times', async (t) => {
  let marks = 0
  fc.assert(
    fc.property(marked, ({ document }) => {
      const event = readText(documentText(document))
      if (event.payloadText.includes(MARK)) marks += 1
      const reduced = reduceEvent(event, everything)
      for (const text of [reduced.payloadText, canonical(reduced)]) if (text.includes(MARK)) throw new Error(text)
      return canonicalText(reduced.document) === canonicalText(readText(reduced.payloadText).document)
    }),
    propertyRuns(200),
  )
  t.ok(marks > 10, `${marks} events held the mark before`)
})

t.test('reducing an event again changes nothing, read from its stored text or not', async () => {
  fc.assert(
    fc.property(marked, lookups, fc.boolean(), ({ document }, shifts, isEverything) => {
      const event = readText(documentText(document))
      const lookup = isEverything ? everything : lookupOf(event, shifts)
      const reduced = reduceEvent(event, lookup)
      const twice = reduceEvent(reduced, lookup)
      if (canonical(twice) !== canonical(reduced) || twice.payloadText !== reduced.payloadText)
        throw new Error(`${reduced.payloadText}\n${twice.payloadText}`)
      for (const text of [reduced.payloadText, jsonbText(reduced.payloadText)]) {
        if (reduced.originalBytes !== null) continue
        const again = reduceEvent(readText(text), lookup)
        // A redaction told by what no skeleton holds goes with it, once a newer one has reached its snapshot.
        const { redactedIds, redactedInquiryIds } = reduced
        const stored = canonical({ ...again, redactedIds, redactedInquiryIds })
        if (text === reduced.payloadText && stored !== canonical(reduced))
          throw new Error(`${canonical(reduced)}\n${stored}`)
        if (canonicalText(again.document).includes(MARK) !== reduced.payloadText.includes(MARK)) throw new Error(text)
      }
    }),
    propertyRuns(200),
  )
})

t.test(
  'the log of reduced payloads is enough: read anew, they tell of every object what its row was told',
  async () => {
    fc.assert(
      fc.property(marked, lookups, fc.boolean(), ({ document }, shifts, isEverything) => {
        const event = readText(documentText(document))
        const reduced = reduceEvent(event, isEverything ? everything : lookupOf(event, shifts))
        // No erasure is looked up for what was stored: the payloads themselves must say it all.
        const states = (told: PersonaEvent): string => canonicalText(Object.fromEntries(foldEvents([told])))
        const [expected, found] = [states(reduced), states(readText(reduced.payloadText))]
        if (found !== expected) throw new Error(`${expected}\n${found}`)
      }),
      propertyRuns(200),
    )
  },
)

t.test('a copy is reduced exactly where a redaction reaches it, and else stays as told', async () => {
  fc.assert(
    fc.property(marked, lookups, ({ document }, shifts) => {
      const event = readText(documentText(document))
      const lookup = lookupOf(event, shifts)
      const reduced = reduceEvent(event, lookup)
      const isReduced = reducedObjectIn(event, lookup)
      const isReached = (id: string): boolean => (shifts[id] ?? -1) >= 0
      const isOwn = event.primary.snapshot.family === 'inquiry' && isReached(event.primary.id)
      for (const [index, object] of objectsOf(event).entries()) {
        const isRedacting = event.redactedIds.includes(object.id) && shifts[object.id] === 0
        const mustGo = !isRedacting && (isOwn || isReached(object.id))
        if (isReduced(object.id) !== mustGo) throw new Error(`${object.id} is ${mustGo ? 'kept' : 'reduced'}`)
        const copy = objectsOf(reduced)[index]
        if (mustGo && canonicalText(copy).includes(MARK)) throw new Error(canonicalText(copy))
        if (!mustGo && copy !== object) throw new Error(`${object.id} was changed`)
      }
    }),
    propertyRuns(200),
  )
})

t.test('erasure leaves statuses, times, types, references, claims and clocks', async () => {
  fc.assert(
    fc.property(marked, ({ document }) => {
      const event = readText(documentText(document))
      const reduced = reduceEvent(event, everything)
      const kept = (told: PersonaEvent): string =>
        canonicalText({
          id: told.id,
          name: told.name,
          clock: told.clock,
          claims: told.claims,
          references: told.references,
          inquiryId: told.inquiryId,
          objects: objectsOf(told).map(({ id, status, snapshot }) => ({
            id,
            status,
            type: snapshot.type,
            kept: snapshotColumns[snapshot.family]
              .filter(({ kind }) => !columnKinds[kind].isPersonal)
              .map(({ name }) => snapshot.columns[name] ?? null),
          })),
        })
      if (kept(reduced) !== kept(event)) throw new Error(`${kept(event)}\n${kept(reduced)}`)
      const again = readText(reduced.payloadText)
      if (kept(again) !== kept(event)) throw new Error(`${kept(event)}\n${kept(again)}`)
    }),
    propertyRuns(200),
  )
})

t.test(
  'what is left of a pruned event holds no personal data, and tells all that orders, links and redacts',
  async (t) => {
    let redactions = 0
    fc.assert(
      fc.property(marked, ({ document }) => {
        const event = readText(documentText(document))
        const text = prunedPayload(event)
        if (text.includes(MARK)) throw new Error(text)
        const pruned = readText(text)
        const told = (of: PersonaEvent) =>
          JSON.stringify([
            [of.id, of.name, of.clock, of.inquiryId, of.references, of.claims, of.redactedIds, of.redactedInquiryIds],
            objectsOf(of).map(({ id, snapshot, status }) => [id, snapshot.type, status]),
          ])
        redactions += event.redactedIds.length
        if (told(pruned) !== told(event)) throw new Error(`${told(event)}\n${told(pruned)}`)
        return prunedPayload(pruned) === text
      }),
      propertyRuns(200),
    )
    t.ok(redactions > 0, `${redactions} redactions`)
  },
)
