import { readDeadLetterDocument, type DeadLetterReason, type DeadLetterRow } from '@persona-ingest/database'
import type { JsonValue, QuarantineReason } from '@persona-ingest/persona'
import { maskEventDocument } from './masking.ts'

/** The meaning of a reason code in the provider's terms, and what an operator can do. */
export type ReasonExplanation = { readonly meaning: string; readonly advice: string }

const REDELIVER =
  'What it should have told is best had from Persona: look the event up in the Dashboard and retry its delivery there, which is accepted like any other.'
const ASK_PERSONA = `Its signature is right, so this is what Persona sent: report it to Persona with the time of receipt. ${REDELIVER}`
/** A body may become usable: after an upgrade, after a repair, or because time has passed. */
const REPLAY =
  'process what is kept: `ops dead-letters replay <id>`. Once nobody needs it: `ops dead-letters discard <id>`.'
const BLOCKLIST =
  "Look at the webhook's attribute blocklist in Persona: it may remove what an event cannot do without. Mend it, then retry the delivery in the Dashboard."

const EXPLANATIONS: Readonly<Record<QuarantineReason | DeadLetterReason, ReasonExplanation>> = {
  INVALID_JSON: { meaning: 'The body is not JSON.', advice: ASK_PERSONA },
  NOT_AN_OBJECT: { meaning: 'The body is JSON, but not an object with `data` in it.', advice: ASK_PERSONA },
  EVENT_ID_INVALID: {
    meaning: "`data.id`, Persona's id of the event (evt_...), is missing or not 1 to 255 of A-Z a-z 0-9 _ -.",
    advice: ASK_PERSONA,
  },
  EVENT_NAME_INVALID: {
    meaning: '`data.attributes.name`, such as inquiry.approved, is missing or not a text of 1 to 255 characters.',
    advice: BLOCKLIST,
  },
  PAYLOAD_INVALID: {
    meaning: '`data.attributes.payload.data`, the object that the event is about, has no usable `type` or `id`.',
    advice: BLOCKLIST,
  },
  CREATED_AT_MISSING: {
    meaning: 'The event has no `created-at`, the time by which events are put in order.',
    advice: BLOCKLIST,
  },
  CREATED_AT_INVALID: { meaning: "The event's `created-at` is not ISO 8601 with a zone.", advice: ASK_PERSONA },
  CREATED_AT_OUT_OF_RANGE: {
    meaning: "The event's `created-at` is before 2015, or more than 24 hours after it was received.",
    advice: `Check the clock of the machine that received it, then ${REPLAY}`,
  },
  VALUE_REFUSED: {
    meaning: 'The event is usable, but PostgreSQL refuses a value in it; the error says of which kind.',
    advice: `No retry of the same program mends this: report it as a fault of persona-ingest. After an upgrade, ${REPLAY}`,
  },
  NUMBERS_TOO_LONG: {
    meaning: 'The numbers of the event take more than 4,000,000 characters once their exponents are spelt out.',
    advice: ASK_PERSONA,
  },
  NESTING_TOO_DEEP: {
    meaning: 'The event is nested more than 1,000 levels deep.',
    advice: `No inquiry looks like this by nature: see which fields of the template hold it, and have it sent again without. ${REDELIVER}`,
  },
  ATTEMPTS_EXHAUSTED: {
    meaning: 'Storing the event failed MAX_ATTEMPTS times while other events passed.',
    advice: `Look for its event id in the worker's log and mend the cause, then ${REPLAY}`,
  },
}

/** Explains a reason code; a code of a later version gets a general explanation. */
export function explainReason(reason: string): ReasonExplanation {
  if (Object.hasOwn(EXPLANATIONS, reason)) return EXPLANATIONS[reason as keyof typeof EXPLANATIONS]
  return {
    meaning: 'A reason that this version of the command line does not know.',
    advice: 'See docs/errors.md of the version that runs.',
  }
}

/** A dead letter as an operator sees it. */
export type ShownDeadLetter = Omit<DeadLetterRow, 'body' | 'body_sha256'> &
  ReasonExplanation & {
    /** Null unless revealed: with most of a masked body known, the digest tells the rest. */
    readonly body_sha256: string | null
    /** Null where the bytes are not JSON. */
    readonly body: JsonValue
  }

function shownBody(body: Uint8Array, isRevealed: boolean): JsonValue {
  const read = readDeadLetterDocument(body)
  if (read === null) return null
  return isRevealed ? read.document : maskEventDocument(read.document)
}

/** Gives the columns of a dead letter, the meaning of its reason, and its body, masked unless revealed. */
export function showDeadLetter({ body, ...columns }: DeadLetterRow, isRevealed: boolean): ShownDeadLetter {
  const sha256 = isRevealed ? columns.body_sha256 : null
  return { ...columns, body_sha256: sha256, ...explainReason(columns.reason), body: shownBody(body, isRevealed) }
}
