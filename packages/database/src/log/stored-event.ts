import type { KeyRing } from '@persona-ingest/core'
import { type Environment, type PersonaEvent, readEvent, UnusableEventError } from '@persona-ingest/persona'
import { decryptDocument, DecryptionError } from '../sql/encrypted-values.ts'

/** What {@link readStoredEvent} needs of a row of `events` beside its payload. Text and numbers, which every driver reads alike. */
export const storedEventFields = 'id, environment, (extract(epoch FROM received_at) * 1000)::float8 AS "receivedAtMs"'
export const storedEventColumns = `${storedEventFields}, payload::text AS payload`

export type StoredEventRow = {
  readonly id: string
  readonly payload: string
  readonly environment: Environment
  readonly receivedAtMs: number
}

/** Whether a row was changed by hand so that it is no event any more. */
export const isNoEvent = (error: unknown): boolean => error instanceof UnusableEventError

/**
 * The same, or so that its key does not open it. Another key under the same id looks alike, so only for what names such
 * events and leaves them as they are.
 */
export function seemsChanged(error: unknown): boolean {
  return isNoEvent(error) || (error instanceof DecryptionError && error.isChanged)
}

/** Null where reading fails as `isPassedOver` tells. */
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

/** The body of an event as the log holds it: as delivered, or as a redaction left it. Throws a `DecryptionError`. */
export function storedBody({ id, payload }: StoredEventRow, keys: KeyRing): Uint8Array {
  return Buffer.from(decryptDocument(payload, ['events', id, 'payload'], keys))
}

/** Reads an event as the log holds it. Throws a `DecryptionError` too; `body` is what {@link storedBody} gives. */
export function readStoredEvent(row: StoredEventRow, keys: KeyRing, body = storedBody(row, keys)): PersonaEvent {
  const { environment, receivedAtMs } = row
  return readEvent({ body, environment, receivedAtMs, isStored: true })
}
