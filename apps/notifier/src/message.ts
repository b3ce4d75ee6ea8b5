import type { Change } from '@persona-ingest/database'
import { createHash } from 'node:crypto'
import { Webhook } from 'standardwebhooks'

/** The text of a notification: the same for every attempt of the same version. */
export function bodyOf(change: Change): string {
  const { family, objectId, inquiryId, version, status, previousStatus, cause, eventId, changedAt } = change
  const data = { id: objectId, inquiryId, version: Number(version), status, previousStatus, cause, eventId }
  return JSON.stringify({ type: `${family}.changed`, timestamp: changedAt.toISOString(), data })
}

/**
 * The id by which a receiver recognises a repetition: the same for every attempt of the same version. After a restore a
 * version may come again with another content, so that the time counts too.
 */
export function messageIdOf(consumer: string, { objectId, version, changedAt }: Change): string {
  const identity = JSON.stringify([consumer, objectId, String(version), changedAt.toISOString()])
  return `msg_${createHash('sha256').update(identity).digest('base64url').slice(0, 32)}`
}

/** Makes the function that gives the headers of an attempt; every secret signs, so that a rotation loses nothing. */
export function createSigner(secrets: readonly string[]) {
  const webhooks = secrets.map((secret) => new Webhook(secret))
  return ({ id, body, nowMs }: { readonly id: string; readonly body: string; readonly nowMs: number }) => ({
    'content-type': 'application/json',
    'user-agent': 'persona-ingest-notifier',
    'webhook-id': id,
    'webhook-timestamp': String(Math.floor(nowMs / 1000)),
    'webhook-signature': webhooks.map((webhook) => webhook.sign(id, new Date(nowMs), body)).join(' '),
  })
}

export type Signer = ReturnType<typeof createSigner>
