import fc from 'fast-check'
import t from 'tap'
import { readEnvelope, readEvent, UnusableEventError } from '../../src/index.ts'
import { documents } from '../model/arbitrary-document.ts'
import { anyText, documentText, storableTexts, values } from '../model/arbitrary-json.ts'
import { canonical, jsonbText } from '../model/canonical.ts'
import { RECEIVED_AT_MS, readText, type Json, type JsonMap } from '../model/event-document.ts'
import { propertyRuns } from '../model/property-runs.ts'

/** Every place of a document, as the keys on the way to it. */
function placesOf(value: Json, way: readonly string[] = []): readonly (readonly string[])[] {
  if (value === null || typeof value !== 'object') return [way]
  return [way, ...Object.entries(value).flatMap(([key, member]: [string, Json]) => placesOf(member, [...way, key]))]
}

type Change = { readonly place: number; readonly how: 'replace' | 'leave out' | 'rename'; readonly value: Json }

function changedAt(document: Json, way: readonly string[], change: Change): Json {
  const [key, ...rest] = way
  if (key === undefined) return change.value
  const entries = Object.entries(document as JsonMap).flatMap(
    ([name, member]): readonly (readonly [string, Json])[] => {
      if (name !== key) return [[name, member]]
      if (rest.length > 0 || change.how === 'replace') return [[name, changedAt(member, rest, change)]]
      return change.how === 'rename' ? [[`${name}x`, member]] : []
    },
  )
  return Array.isArray(document) ? entries.map(([, member]) => member) : Object.fromEntries(entries)
}

function changed(document: Json, changes: readonly Change[]): Json {
  return changes.reduce((told, change) => {
    const places = placesOf(told)
    return changedAt(told, places[change.place % places.length] ?? [], change)
  }, document)
}

const change = fc.record<Change>({
  place: fc.nat({ max: 1000 }),
  how: fc.constantFrom('replace', 'leave out', 'rename'),
  value: values(anyText),
})

/** The same document with the members of every object in an order of `turns`. */
function reordered(value: Json, turns: readonly number[]): Json {
  if (value === null || typeof value !== 'object') return value
  if (Array.isArray(value)) return value.map((item: Json) => reordered(item, turns))
  const entries = Object.entries(value as JsonMap).map(([key, member]): [string, Json] => [
    key,
    reordered(member, turns),
  ])
  const placed = entries.map((entry, index) => ({ entry, turn: turns[index % turns.length] ?? 0 }))
  return Object.fromEntries(placed.toSorted((left, right) => left.turn - right.turn).map(({ entry }) => entry))
}

t.test('reading the stored text again tells the same, and stores the same', async () => {
  fc.assert(
    fc.property(documents(anyText), ({ document, casing }) => {
      const event = readText(documentText(document))
      const again = readText(event.payloadText)
      if (event.casing !== casing) throw new Error(`read as ${event.casing}`)
      if (canonical(again) !== canonical(event)) throw new Error(`${canonical(event)}\n${canonical(again)}`)
      return again.payloadText === event.payloadText
    }),
    propertyRuns(150),
  )
})

t.test('what jsonb gives back of an event whose bytes are not kept tells the same', async (t) => {
  let compared = 0
  fc.assert(
    fc.property(documents(storableTexts), ({ document }) => {
      const event = readText(documentText(document))
      if (event.originalBytes !== null) return
      compared += 1
      const stored = readText(jsonbText(event.payloadText))
      if (canonical(stored) !== canonical(event)) throw new Error(`${canonical(event)}\n${canonical(stored)}`)
    }),
    propertyRuns(200),
  )
  t.ok(compared > 0, `${compared} were compared`)
})

t.test('reading is independent of the order of members', async () => {
  fc.assert(
    fc.property(
      documents(storableTexts),
      fc.array(fc.nat({ max: 100 }), { minLength: 1, maxLength: 7 }),
      ({ document }, turns) => {
        const event = readText(documentText(document))
        const other = readText(documentText(reordered(document, turns)))
        if (canonical(other) !== canonical(event)) throw new Error(`${canonical(event)}\n${canonical(other)}`)
      },
    ),
    propertyRuns(150),
  )
})

t.test('a body is usable for the worker exactly where it is for the ingress, and nothing else is thrown', async (t) => {
  const seen = new Set<string>()
  fc.assert(
    fc.property(documents(anyText), fc.array(change, { maxLength: 3 }), ({ document }, changes) => {
      const body = Buffer.from(documentText(changed(document, changes)))
      const envelope = readEnvelope(body, RECEIVED_AT_MS)
      seen.add(envelope.ok ? 'OK' : envelope.reason)
      try {
        const event = readEvent({ body, environment: 'sandbox', receivedAtMs: RECEIVED_AT_MS })
        if (!envelope.ok) throw new Error(`read an event that is ${envelope.reason}`)
        if (event.id !== envelope.eventId || event.clock.createdAtMs !== envelope.createdAtMs)
          throw new Error('read another event')
      } catch (error) {
        if (!(error instanceof UnusableEventError)) throw error
        if (envelope.ok || envelope.reason !== error.reason)
          throw new Error('refused for another reason', { cause: error })
      }
    }),
    propertyRuns(300),
  )
  t.ok(seen.size > 3, [...seen].join())
})

t.test('any JSON value is an event or refused', async () => {
  fc.assert(
    fc.property(values(anyText), (value) => {
      try {
        readText(documentText(value))
        return false
      } catch (error) {
        return error instanceof UnusableEventError
      }
    }),
    propertyRuns(150),
  )
})

t.test('any bytes are an event or refused', async () => {
  fc.assert(
    fc.property(
      documents(anyText),
      fc.array(fc.tuple(fc.nat({ max: 5000 }), fc.nat({ max: 255 })), { minLength: 1, maxLength: 4 }),
      ({ document }, flips) => {
        const body = Buffer.from(documentText(document))
        for (const [at, byte] of flips) body[at % body.length] = byte
        const envelope = readEnvelope(body, RECEIVED_AT_MS)
        try {
          const event = readEvent({ body, environment: 'sandbox', receivedAtMs: RECEIVED_AT_MS })
          return envelope.ok && event.payloadText.isWellFormed()
        } catch (error) {
          return error instanceof UnusableEventError && !envelope.ok
        }
      },
    ),
    propertyRuns(150),
  )
})

t.test('no text that an event tells holds what PostgreSQL refuses', async () => {
  const unholdable = /\\u0000|\\ud[89a-f]/i
  fc.assert(
    fc.property(documents(anyText), ({ document }) => {
      const event = readText(documentText(document))
      // Printed well-formed, NUL and lone surrogates are the only escapes of these forms that are not the text's own.
      const told = canonical(event).replaceAll('\\\\', '')
      if (unholdable.test(told)) throw new Error(told)
      return JSON.stringify([event.id, event.name, event.inquiryId]).search(unholdable) === -1
    }),
    propertyRuns(150),
  )
})
