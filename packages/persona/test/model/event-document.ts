import { anEvent as eventDocument } from '@persona-ingest/testkit/events'
import { foldEvents, readEvent, stringifyExact, type PersonaEvent, type Snapshot } from '../../src/index.ts'
import { type JsonValue } from '../../src/json.ts'

export type Json = null | boolean | number | string | readonly Json[] | JsonMap
export type JsonMap = { readonly [key: string]: Json }

/** When every event of these tests is received, unless a test says otherwise: minutes after the newest of them. */
export const RECEIVED_AT_MS = Date.parse('2026-02-03T10:10:00.000Z')

/** An approved inquiry's event, with the defaults of these tests. */
export function anEvent(parts: {
  id?: Json
  name?: Json
  createdAt?: Json
  data?: Json
  included?: Json
  extra?: JsonMap
}): JsonMap {
  const defaults = {
    id: 'evt_TestAaaa0001',
    name: 'inquiry.approved',
    createdAt: '2026-02-03T10:06:21.739Z',
    data: anObject('inquiry', 'inq_TestAaaa0001'),
  }
  return eventDocument({ ...defaults, ...parts }) as JsonMap
}

export function anObject(type: Json, id: Json, attributes: Json = {}, relationships?: Json): JsonMap {
  return { type, id, attributes, ...(relationships !== undefined && { relationships }) }
}

/** A relationship to one object, or to several. */
export function relation(...identifiers: readonly (readonly [type: Json, id: Json])[]): JsonMap {
  const [first, ...others] = identifiers.map(([type, id]) => ({ type, id }))
  if (first === undefined) return { data: [] }
  return { data: others.length === 0 ? first : [first, ...others] }
}

export function bodyOf(document: Json): Buffer {
  return Buffer.from(JSON.stringify(document))
}

export function readBody(body: Uint8Array): PersonaEvent {
  return readEvent({ body, environment: 'production', receivedAtMs: RECEIVED_AT_MS })
}

export function read(document: Json): PersonaEvent {
  return readBody(bodyOf(document))
}

export function readText(text: string): PersonaEvent {
  return readBody(Buffer.from(text))
}

/** A value of ours as JSON would give it back: without prototypes, so that it can be compared with a literal. */
export function plain(value: unknown): unknown {
  return JSON.parse(stringifyExact(value as JsonValue))
}

/** A snapshot as its row holds it: the columns beside `attributes` and the rest. */
export function flat({ columns, ...rest }: Snapshot): Record<string, unknown> {
  return plain({ ...rest, ...columns }) as Record<string, unknown>
}

/** What the row of an object would hold after this event alone. */
export function told(event: PersonaEvent, id: string) {
  const state = foldEvents([event]).get(id)
  if (state === undefined) return null
  const snapshot = state.snapshot === null ? null : flat(state.snapshot.value)
  return {
    type: state.snapshot?.value.type ?? state.reference?.type ?? null,
    status: state.status?.value ?? null,
    inquiryId: state.claim?.inquiryId ?? null,
    isReferenceOnly: state.snapshot === null,
    attributes: snapshot?.['attributes'] ?? {},
    relationships: snapshot?.['relationships'] ?? {},
    snapshot,
  }
}

/** A copy of a document with the value at a path replaced, or left out where `value` is undefined. */
export function edited(document: Json, path: readonly string[], value: Json | undefined): Json {
  const [key, ...rest] = path
  if (key === undefined) return value ?? null
  const members = new Map(Object.entries(document as JsonMap))
  if (rest.length === 0 && value === undefined) members.delete(key)
  else members.set(key, rest.length === 0 ? (value as Json) : edited(members.get(key) ?? {}, rest, value))
  return Object.fromEntries(members)
}
