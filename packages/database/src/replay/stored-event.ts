import { readEvent, type Environment, type PersonaEvent } from '@persona-ingest/persona'

/** What {@link readStoredEvent} needs of a row of `events`. Text and numbers, which every driver reads alike. */
export const storedEventColumns =
  'id, payload::text AS payload, environment, (extract(epoch FROM received_at) * 1000)::float8 AS "receivedAtMs"'

export type StoredEventRow = {
  readonly id: string
  readonly payload: string
  readonly environment: Environment
  readonly receivedAtMs: number
}

/** Reads an event as the log holds it: as delivered, or as a redaction left it. */
export function readStoredEvent({ payload, environment, receivedAtMs }: StoredEventRow): PersonaEvent {
  return readEvent({ body: Buffer.from(payload), environment, receivedAtMs })
}
