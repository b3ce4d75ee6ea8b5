import { readLetterDocument, type DeadLetterRow } from '@persona-ingest/database'
import type { JsonValue } from '@persona-ingest/persona'
import { explainReason, type ReasonExplanation } from './dead-letter-reason.ts'
import { maskEventDocument } from './masking.ts'

/**
 * A dead letter as it is shown; `body` is null where the bytes are no JSON. The digest is shown with what
 * it tells: a reader who knows most of a masked body gets the rest from it.
 */
export type ShownLetter = Omit<DeadLetterRow, 'body' | 'body_sha256'> &
  ReasonExplanation & { readonly body_sha256: string | null; readonly body: JsonValue }

function shownBody(body: Uint8Array, isRevealed: boolean): JsonValue {
  const read = readLetterDocument(body)
  if (read === null) return null
  return isRevealed ? read.document : maskEventDocument(read.document)
}

/** What there is to show of a dead letter: its columns, what its reason means, and its body, masked or not. */
export function shownLetter({ body, ...columns }: DeadLetterRow, isRevealed: boolean): ShownLetter {
  const sha256 = isRevealed ? columns.body_sha256 : null
  return { ...columns, body_sha256: sha256, ...explainReason(columns.reason), body: shownBody(body, isRevealed) }
}
