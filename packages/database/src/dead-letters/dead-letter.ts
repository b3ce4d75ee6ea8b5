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
 * Reasons of dead letters that the worker writes; quarantined bodies have those of packages/persona. Stable codes of
 * docs/errors.md.
 *
 * - `VALUE_REFUSED`: PostgreSQL refuses a value of the event (SQLSTATE class 22, 23 or 54); no retry changes that.
 * - `NUMBERS_TOO_LONG`: its numbers take more than 4,000,000 characters once their exponents are spelt out.
 * - `ATTEMPTS_EXHAUSTED`: failed MAX_ATTEMPTS times while other events passed.
 */
export const deadLetterReasons = ['VALUE_REFUSED', 'NUMBERS_TOO_LONG', 'ATTEMPTS_EXHAUSTED'] as const
export type DeadLetterReason = (typeof deadLetterReasons)[number]

export const deadLetterStates = ['open', 'replayed', 'discarded'] as const
export type DeadLetterState = (typeof deadLetterStates)[number]

/** A delivery that is not retried by itself. */
export type DeadLetter = {
  /** Null where the id is unreadable; dead letters are then told apart by their bytes. */
  readonly eventId: string | null
  readonly environment: Environment
  /** A stable code; see docs/errors.md. */
  readonly reason: string
  /** Describes the failure, without data of the event. */
  readonly error: string
  readonly body: Uint8Array
  readonly receivedAtMs: number
  /** Attempts used up; 0 for a quarantined body. */
  readonly attempts: number
}

export type DeadLetterBytes = Pick<DeadLetter, 'body' | 'environment' | 'receivedAtMs'>

/** Reads a dead letter's body as an event; null where it is none. */
export function readDeadLetter(deadLetter: DeadLetterBytes): PersonaEvent | null {
  try {
    return readEvent(deadLetter)
  } catch {
    return null
  }
}

/** An id has 255 characters at most, each of one or two units, and JSON spells a unit with up to six. */
const MAX_ID_UNITS = 510
const MAX_SPELT = 6 * MAX_ID_UNITS

/**
 * Finds `"id": "..."` in bytes that may be no JSON. The length is limited, since a string of 8 MB exceeds the stack of a
 * regular expression.
 */
const NAMED_ID = new RegExp(String.raw`"id"\s*:\s*("(?:[^"\\]|\\.){1,${MAX_SPELT}}")`, 'g')

/** Replaces NUL and lone surrogates, as in events, since PostgreSQL can't hold them. */
function unspell(json: string): string | null {
  try {
    return (JSON.parse(json) as string).replaceAll('\u0000', '\ufffd').toWellFormed()
  } catch {
    return null
  }
}

function namedIds(body: Uint8Array): Set<string> {
  const ids = new Set<string>()
  for (const [, spelt] of Buffer.from(body).toString('utf8').matchAll(NAMED_ID)) {
    const id = unspell(spelt as string)
    if (id !== null && id.length <= MAX_ID_UNITS) ids.add(id)
  }
  return ids
}

/** The ids of all objects that a dead letter names. A redaction finds it by them. */
export function objectIdsOf(deadLetter: DeadLetterBytes): readonly string[] {
  const event = readDeadLetter(deadLetter)
  if (event === null) return [...namedIds(deadLetter.body)]
  const { objectIds, inquiryIds } = batchIds([event])
  return [...new Set([...objectIds, ...inquiryIds])]
}

/** Claims of a dead letter are not stored, but count for the objects in its own body. */
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
 * The body that an erasure leaves of bytes that are no event. It is random: the SHA-256 that older versions left reveals the
 * rest of bytes that are mostly known.
 */
export function emptiedBody(): Uint8Array {
  return Buffer.from(JSON.stringify({ erased: randomUUID() }))
}
const EMPTIED = /^\{"(?:erased":"[0-9a-f-]{36}|sha256":"[0-9a-f]{64})"\}$/

/** Whether an erasure has emptied a body, in this version or an older one. */
export function isEmptied(body: Uint8Array): boolean {
  return body.byteLength < 100 && EMPTIED.test(Buffer.from(body).toString('latin1'))
}

/**
 * Redacts the body of a dead letter; null where nothing changes. Bytes that are no event have no clock, so they are emptied
 * where they name an erased object.
 */
export function redactDeadLetterBody(deadLetter: DeadLetterBytes, erasedAt: RedactionLookup): Uint8Array | null {
  const event = readDeadLetter(deadLetter)
  if (event === null) return objectIdsOf(deadLetter).some((id) => erasedAt(id) !== null) ? emptiedBody() : null
  const reduced = reduceEvent(event, withOwnClaims(event, erasedAt))
  return reduced === event ? null : Buffer.from(reduced.payloadText)
}
