/* Sends the events of one invented inquiry to the ingress, waits until they are stored, and prints the inquiry. */
import { randomUUID } from 'node:crypto'
import { setTimeout as pause } from 'node:timers/promises'
import { openDatabase, type PrismaClient } from '@persona-ingest/database'
import { buildLifecycle, sendDelivery, type SimulatedEvent } from '@persona-ingest/simulator'

const HOUR_MS = 3_600_000
const STORED_WITHIN_MS = 30_000

const { DATABASE_URL, PERSONA_WEBHOOK_SECRETS } = process.env
const url = process.env['WEBHOOK_URL'] ?? 'http://127.0.0.1:8080/webhooks/persona'

async function send(event: SimulatedEvent, secret: string): Promise<void> {
  const body = Buffer.from(JSON.stringify(event.document))
  const nowMs = Date.now()
  const result = await sendDelivery({ url, body, secrets: [secret], nowMs, attempt: 1, firstAttemptedAtMs: nowMs })
  if (!result.isAcknowledged) throw new Error(`Expected an answer of 200 for ${event.name}, got ${result.answer}`)
}

/** An acknowledged event is durable in the queue. Its row follows when a worker has stored it. */
async function untilStored(prisma: PrismaClient, ids: readonly string[]): Promise<void> {
  const deadlineMs = performance.now() + STORED_WITHIN_MS
  while ((await prisma.event.count({ where: { id: { in: [...ids] } } })) < ids.length) {
    if (performance.now() > deadlineMs)
      throw new Error('The events are acknowledged and not stored: does a worker run?')
    await pause(100)
  }
}

async function main(databaseUrl: string, secret: string): Promise<void> {
  const events = buildLifecycle({ scenario: 'approved', seed: randomUUID(), startAtMs: Date.now() - HOUR_MS })
  // Newest first: the stored state does not depend on the order of delivery.
  for (const event of events.toReversed()) await send(event, secret)

  // Without keys: no column that this program reads is ever encrypted.
  const database = openDatabase({ url: databaseUrl, encryptionKeys: [] })
  const { prisma } = database
  try {
    await untilStored(
      prisma,
      events.map(({ id }) => id),
    )
    const inquiry = await prisma.inquiry.findUniqueOrThrow({
      where: { id: events[0]?.inquiryId ?? '' },
      select: {
        id: true,
        environment: true,
        status: true,
        decisionedAt: true,
        verifications: { select: { type: true, status: true }, orderBy: { createdAt: 'asc' } },
      },
    })
    console.log(JSON.stringify(inquiry, null, 2))
  } finally {
    await database.close()
  }
}

const [secret] = PERSONA_WEBHOOK_SECRETS?.split(',') ?? []
if (!DATABASE_URL || !secret) {
  console.error('Set DATABASE_URL and PERSONA_WEBHOOK_SECRETS (and WEBHOOK_URL, where the ingress is elsewhere).')
  process.exit(2)
}
await main(DATABASE_URL, secret)
