/** A place in the list of inquiries, whose order is (event_created_at, event_rank, event_id, id), newest first. */
export type InquiryCursor = {
  /** Null for inquiries that are known by reference only: they come last. */
  readonly eventCreatedAt: Date | null
  readonly eventRank: number | null
  readonly eventId: string | null
  readonly id: string
}

/** Writes a cursor as an opaque word, fit for a command line and a URL. */
export function formatInquiryCursor({ eventCreatedAt, eventRank, eventId, id }: InquiryCursor): string {
  return Buffer.from(JSON.stringify([eventCreatedAt?.getTime() ?? null, eventRank, eventId, id])).toString('base64url')
}

function parseValues(text: string): unknown {
  try {
    return JSON.parse(Buffer.from(text, 'base64url').toString('utf8'))
  } catch {
    return null
  }
}

/** The last millisecond of the year 9999, beyond which PostgreSQL reads no ISO 8601. */
const MAX_TIME_MS = 253_402_300_799_999
const MAX_RANK = 32_767

// A cursor comes from outside: whatever PostgreSQL would refuse is refused here.
const isText = (value: unknown): value is string => typeof value === 'string' && !value.includes('\0')
const isCount = (value: unknown, max: number): value is number =>
  Number.isSafeInteger(value) && Number(value) >= 0 && Number(value) <= max

/** Reads what {@link formatInquiryCursor} wrote; null for anything else. */
export function parseInquiryCursor(text: string): InquiryCursor | null {
  const values = parseValues(text)
  if (!Array.isArray(values) || values.length !== 4) return null
  const [createdAtMs, eventRank, eventId, id] = values as unknown[]
  if (!isText(id)) return null
  const isReferenceOnly = createdAtMs === null && eventRank === null && eventId === null
  if (isReferenceOnly) return { eventCreatedAt: null, eventRank, eventId, id }
  if (!isCount(createdAtMs, MAX_TIME_MS) || !isCount(eventRank, MAX_RANK) || !isText(eventId)) return null
  return { eventCreatedAt: new Date(createdAtMs), eventRank, eventId, id }
}
