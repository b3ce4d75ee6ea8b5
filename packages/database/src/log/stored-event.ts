import type { KeyRing } from '@persona-ingest/core'
import { type Environment, type PersonaEvent, readEvent, UnusableEventError } from '@persona-ingest/persona'
import { decryptDocument, DecryptionError } from '../sql/row-values.ts'

/** Columns for {@link readStoredEvent} besides the payload, as texts and numbers, which Prisma and pg read alike. */
export const storedEventFields = 'id, environment, (extract(epoch FROM received_at) * 1000)::float8 AS "receivedAtMs"'
export const storedEventColumns = `${storedEventFields}, payload::text AS payload`

export type StoredEventRow = {
  readonly id: string
  readonly payload: string
  readonly environment: Environment
  readonly receivedAtMs: number
}

/** Whether a row was changed by hand and is no event any more. */
export const isNoEvent = (error: unknown): boolean => error instanceof UnusableEventError

/**
 * The same, or its ciphertext was changed. Another key under the same id looks alike, so only for callers that report such
 * events and leave them unchanged.
 */
export function seemsChanged(error: unknown): boolean {
  return isNoEvent(error) || (error instanceof DecryptionError && error.isChanged)
}

/** Reads an event; null where reading fails with an error of `isPassedOver`. */
export function tryReading(
  row: StoredEventRow,
  keys: KeyRing,
  isPassedOver: (error: unknown) => boolean,
): PersonaEvent | null {
  try {
    return readStoredEvent(row, keys)
  } catch (error) {
    if (isPassedOver(error)) return null
    throw error
  }
}

/** Gives the body of an event, as delivered or redacted. Throws a `DecryptionError`. */
export function storedBody({ id, payload }: StoredEventRow, keys: KeyRing): Uint8Array {
  return Buffer.from(decryptDocument(payload, ['events', id, 'payload'], keys))
}

/** Reads an event of the log. Throws an `UnusableEventError` or a `DecryptionError`. */
export function readStoredEvent(row: StoredEventRow, keys: KeyRing, body = storedBody(row, keys)): PersonaEvent {
  const { environment, receivedAtMs } = row
  return readEvent({ body, environment, receivedAtMs, isStored: true })
}
