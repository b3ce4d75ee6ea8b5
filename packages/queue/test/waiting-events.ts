import type { RedisServer } from '@persona-ingest/testkit'

/** The event ids in all waiting jobs of a queue, whichever job they share. */
export async function waitingEvents(redis: RedisServer, prefix = 'bull'): Promise<ReadonlySet<string>> {
  const queueKey = `${prefix}:persona-events`
  const jobIds = (await redis.command('LRANGE', `${queueKey}:wait`, 0, -1)) as string[]
  const eventIds = new Set<string>()
  for (const jobId of jobIds) {
    const data = (await redis.command('HGET', `${queueKey}:${jobId}`, 'data')) as string | null
    for (const [, eventId] of (data ?? '').matchAll(/"eventId":"([^"]+)"/g)) eventIds.add(eventId as string)
  }
  return eventIds
}
