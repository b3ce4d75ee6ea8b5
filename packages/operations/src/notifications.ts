import {
  resendNotifications as resendSelected,
  type Database,
  type ResendResult,
  type ResendSelection,
} from '@persona-ingest/database'
import { recorded, type Actor } from './operation.ts'

/**
 * Sends objects again whose newest change the notifier gave up. Safe to repeat. Recorded as `changes resend`; rejects with
 * the database's error.
 */
export async function resendNotifications(options: {
  readonly database: Database
  readonly actor: Actor
  /** Default: all. */
  readonly consumer?: string | undefined
  readonly selection: ResendSelection
}): Promise<ResendResult> {
  const { database, actor, consumer, selection } = options
  const objects = 'objectIds' in selection ? selection.objectIds : 'all'
  const operation = { ...actor, command: 'changes resend', arguments: { consumer: consumer ?? null, objects } }
  return await recorded(database, operation, async (counts) => {
    const result = await resendSelected(database, { consumer, selection })
    counts['resent'] = result.resent.length
    return result
  })
}
