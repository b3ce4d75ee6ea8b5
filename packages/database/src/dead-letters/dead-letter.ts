import { randomUUID } from 'node:crypto'
import {
  batchIds,
  compareClocks,
  readEvent,
  reduceEvent,
  type Clock,
  type Environment,
  type RedactionLookup,
  type PersonaEvent,
} from '@persona-ingest/persona'
import { raiseClock } from '../log/stored-erasures.ts'

/**
 * Why the worker gave an event up; quarantined bodies have reasons of their own (packages/persona). Stable codes, listed
 * in docs/errors.md.
 *
 * - `VALUE_REFUSED`: PostgreSQL refuses a value of the event (SQLSTATE class 22, 23 or 54); no retry changes that.
 * - `NUMBERS_TOO_LONG`: its numbers take more than 4,000,000 characters once their exponents are spelt out.
 * - `ATTEMPTS_EXHAUSTED`: failed MAX_ATTEMPTS times while other events passed.
 */
export const deadLetterReasons = ['VALUE_REFUSED', 'NUMBERS_TOO_LONG', 'ATTEMPTS_EXHAUSTED'] as const
export type DeadLetterReason = (typeof deadLetterReasons)[number]

export const deadLetterStates = ['open', 'replayed', 'discarded'] as const
export type DeadLetterState = (typeof deadLetterStates)[number]

/** What is kept of a delivery that will not be tried again by itself. */
export type DeadLetter = {
  /** Null where the id is unreadable: the bytes themselves then tell one dead letter from another. */
  readonly eventId: string | null
  readonly environment: Environment
  /** A stable code; see docs/errors.md. */
  readonly reason: string
  /** What to know of the failure, in words of our own. */
  readonly error: string
  readonly body: Uint8Array
  readonly receivedAtMs: number
  /** Attempts used up; 0 for a quarantined body. */
  readonly attempts: number
}

/** Reads a dead letter's body as an event, or null where it is none. */
export function readDeadLetter(deadLetter: DeadLetterBytes): PersonaEvent | null {
  try {
    return readEvent(deadLetter)
  } catch {
    return null
  }
}

export type DeadLetterBytes = Pick<DeadLetter, 'body' | 'environment' | 'receivedAtMs'>

/** An id has 255 characters at most, each of one or two units, and JSON spells a unit with up to six. */
const MAX_ID_UNITS = 510
const MAX_SPELT = 6 * MAX_ID_UNITS

/**
 * Finds `"id": "..."` in what may be no JSON at all; each id as JSON spells it. Its length is limited: the stack of a
 * regular expression grows with each repetition, and a string of 8 MB exceeds it.
 */
const NAMED_ID = new RegExp(String.raw`"id"\s*:\s*("(?:[^"\\]|\\.){1,${MAX_SPELT}}")`, 'g')

function namedIds(body: Uint8Array): Set<string> {
  const ids = new Set<string>()
  for (const [, spelt] of Buffer.from(body).toString('utf8').matchAll(NAMED_ID)) {
    const id = unspell(spelt as string)
    if (id !== null && id.length <= MAX_ID_UNITS) ids.add(id)
  }
  return ids
}

/** As events spell it: PostgreSQL holds neither NUL nor lone surrogates. */
function unspell(json: string): string | null {
  try {
    return (JSON.parse(json) as string).replaceAll('\u0000', '\ufffd').toWellFormed()
  } catch {
    return null
  }
}

/** Every object that a dead letter names, in whatever place: what a redaction finds it by. */
export function objectIdsOf(deadLetter: DeadLetterBytes): readonly string[] {
  const event = readDeadLetter(deadLetter)
  if (event === null) return [...namedIds(deadLetter.body)]
  const { objectIds, inquiryIds } = batchIds([event])
  return [...new Set([...objectIds, ...inquiryIds])]
}

/** A dead letter's claims are stored nowhere, since its event is not; for its own copies they count all the same. */
function withOwnClaims({ claims }: PersonaEvent, erasedAt: RedactionLookup): RedactionLookup {
  const claimed = new Map<string, Clock>()
  for (const { objectId, inquiryId } of claims) {
    const clock = erasedAt(inquiryId)
    if (clock !== null) raiseClock(claimed, objectId, clock)
  }
  return (objectId) => {
    const [own = null, stored] = [claimed.get(objectId), erasedAt(objectId)]
    return own !== null && (stored === null || compareClocks(own, stored) > 0) ? own : stored
  }
}

/**
 * What erasure leaves of bytes that are no readable event. Random, so that it differs from others and tells nothing: older
 * versions left the SHA-256 of the bytes, from which a reader who knows most of them gets the rest.
 */
export function emptiedBody(): Uint8Array {
  return Buffer.from(JSON.stringify({ erased: randomUUID() }))
}
const EMPTIED = /^\{"(?:erased":"[0-9a-f-]{36}|sha256":"[0-9a-f]{64})"\}$/

/** Tells whether a stored body is what an erasure leaves of bytes that are no readable event. */
export function isEmptied(body: Uint8Array): boolean {
  return body.byteLength < 100 && EMPTIED.test(Buffer.from(body).toString('latin1'))
}

/**
 * The body as erasure leaves it, null where it stays as it is. What is no readable event but names an erased object keeps
 * nothing: it has no clock that could tell its copies from newer ones.
 */
export function redactDeadLetterBody(deadLetter: DeadLetterBytes, erasedAt: RedactionLookup): Uint8Array | null {
  const event = readDeadLetter(deadLetter)
  if (event === null) return objectIdsOf(deadLetter).some((id) => erasedAt(id) !== null) ? emptiedBody() : null
  const reduced = reduceEvent(event, withOwnClaims(event, erasedAt))
  return reduced === event ? null : Buffer.from(reduced.payloadText)
}
