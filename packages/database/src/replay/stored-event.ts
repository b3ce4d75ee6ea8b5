import type { KeyRing } from '@persona-ingest/encryption'
import { readEvent, UnusableEventError, type Environment, type PersonaEvent } from '@persona-ingest/persona'
import { openDocument, SealedDataError } from '../sealing/sealed-document.ts'

/** What {@link readStoredEvent} needs of a row of `events`. Text and numbers, which every driver reads alike. */
export const storedEventColumns =
  'id, payload::text AS payload, environment, (extract(epoch FROM received_at) * 1000)::float8 AS "receivedAtMs"'

export type StoredEventRow = {
  readonly id: string
  readonly payload: string
  readonly environment: Environment
  readonly receivedAtMs: number
}

/** Whether a row was changed by hand so that it is no event any more. */
export function isNoEvent(error: unknown): boolean {
  return error instanceof UnusableEventError || (error instanceof SealedDataError && error.isChanged)
}

/** Null for what was changed by hand so that it is no event any more. */
export function tryReading(row: StoredEventRow, keys: KeyRing): PersonaEvent | null {
  try {
    return readStoredEvent(row, keys)
  } catch (error) {
    if (isNoEvent(error)) return null
    throw error
  }
}

/** Reads an event as the log holds it: as delivered, or as a redaction left it. Throws a `SealedDataError` too. */
export function readStoredEvent(
  { id, payload, environment, receivedAtMs }: StoredEventRow,
  keys: KeyRing,
): PersonaEvent {
  const body = Buffer.from(openDocument(payload, ['events', id, 'payload'], keys))
  return readEvent({ body, environment, receivedAtMs })
}
