/**
 * The status that an event's name fixes for the object in `payload.data`, where its attributes tell none (a webhook's
 * attribute blocklist can remove `status`). Names and statuses are spelt differently in places.
 */
const STATUS_BY_EVENT_NAME: ReadonlyMap<string, string> = new Map([
  ['inquiry.created', 'created'],
  ['inquiry.started', 'pending'],
  ['inquiry.completed', 'completed'],
  ['inquiry.failed', 'failed'],
  ['inquiry.expired', 'expired'],
  ['inquiry.approved', 'approved'],
  ['inquiry.declined', 'declined'],
  ['inquiry.marked-for-review', 'needs_review'],
  ['verification.created', 'initiated'],
  ['verification.submitted', 'submitted'],
  ['verification.passed', 'passed'],
  ['verification.failed', 'failed'],
  ['verification.canceled', 'canceled'],
  ['verification.skipped', 'skipped'],
  ['verification.requires-retry', 'requires_retry'],
])

/** The status an event name fixes, or null where it fixes none or is of another family than the object. */
export function statusByEventName(name: string, family: string): string | null {
  return name.startsWith(`${family}.`) ? (STATUS_BY_EVENT_NAME.get(name) ?? null) : null
}
