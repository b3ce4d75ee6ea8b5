import type { DeadLetterReason } from '@persona-ingest/database'
import type { QuarantineReason } from '@persona-ingest/persona'

/** What a reason code means in the provider's terms, and what a person can do about it. */
export type ReasonExplanation = { readonly meaning: string; readonly advice: string }

const REDELIVER =
  'What it should have told is best had from Persona: look the event up in the Dashboard and retry its delivery there, which is accepted like any other.'
const ASK_PERSONA = `Its signature is right, so this is what Persona sent: report it to Persona with the time of receipt. ${REDELIVER}`
/** What is kept may have become usable: by an upgrade, by a mended cause, or because time has passed. */
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

/** Explains a reason code; one that this program does not know is said to be so. */
export function explainReason(reason: string): ReasonExplanation {
  if (Object.hasOwn(EXPLANATIONS, reason)) return EXPLANATIONS[reason as keyof typeof EXPLANATIONS]
  return {
    meaning: 'A reason that this version of the command line does not know.',
    advice: 'See docs/errors.md of the version that runs.',
  }
}
