import type { PrismaClient } from '@persona-ingest/database'
import type { EventDocument, ResourceObject } from './verified-server.ts'

type Json = object

function text(value: unknown): string | null {
  return typeof value === 'string' ? value : null
}

function inquiryValues({ attributes, relationships }: ResourceObject, event: EventDocument['data']) {
  const { fields, tags, status, 'reference-id': referenceId, ...rest } = attributes
  return {
    environment: 'production',
    status: text(status),
    referenceId: text(referenceId),
    tags: (tags as string[] | null) ?? [],
    attributes: rest as Json,
    fields: (fields ?? {}) as Json,
    relationships: (relationships ?? {}) as Json,
    eventId: event.id,
    eventName: event.attributes.name,
    eventCreatedAt: event.attributes['created-at'],
    eventRank: 0,
  }
}

function verificationValues({ type, attributes, relationships }: ResourceObject, event: EventDocument['data']) {
  const { status, checks, ...rest } = attributes
  return {
    environment: 'production',
    type,
    status: text(status),
    checks: (checks ?? []) as Json,
    attributes: rest as Json,
    relationships: (relationships ?? {}) as Json,
    eventId: event.id,
    eventName: event.attributes.name,
    eventCreatedAt: event.attributes['created-at'],
    eventRank: 0,
  }
}

/**
 * What most teams write: one transaction an event, the event inserted and each of its inquiries and verifications upserted,
 * the last to arrive wins.
 */
export async function storeWithPrisma(prisma: PrismaClient, document: EventDocument): Promise<void> {
  const event = document.data
  const { data: primary, included = [] } = event.attributes.payload
  await prisma.$transaction(async (transaction) => {
    const isKnown = await transaction.event.findUnique({ where: { id: event.id }, select: { id: true } })
    if (isKnown !== null) return
    await transaction.event.create({
      data: {
        id: event.id,
        environment: 'production',
        name: event.attributes.name,
        createdAt: event.attributes['created-at'],
        rank: 0,
        resourceType: primary.type,
        resourceId: primary.id,
        payload: document as Json,
        receivedAt: new Date(),
        processedAt: new Date(),
        outcome: 'applied',
      },
    })
    for (const object of [primary, ...included]) {
      const { id } = object
      if (object.type === 'inquiry') {
        const values = inquiryValues(object, event)
        await transaction.inquiry.upsert({ where: { id }, create: { id, ...values }, update: values })
      } else if (object.type.startsWith('verification/')) {
        const values = verificationValues(object, event)
        await transaction.verification.upsert({ where: { id }, create: { id, ...values }, update: values })
      }
    }
  })
}
