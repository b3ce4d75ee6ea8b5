import { Deadline } from '@persona-ingest/core'
import { join } from 'node:path'
import t from 'tap'
import { preparePowerCuts, startRedis, type PowerCuts } from '@persona-ingest/testkit'
import { createProducer } from '../../src/index.ts'
import { waitingEvents } from '../waiting-events.ts'

const ROUNDS = Number(process.env['POWER_CUTS'] ?? 3)
const ENQUEUES_AT_ONCE = 32
/** Enough for some tenths of a second: at `everysec` part of it must still be unsynced. */
const CONFIRMED_BEFORE_CUT = 2000

/** Enqueues as fast as it can, cuts the power in the middle, and counts confirmed events that Redis no longer has. */
async function confirmedAndLost(
  powerCuts: PowerCuts,
  appendfsync: string,
): Promise<{ confirmed: number; lost: number }> {
  const powerCut = await powerCuts()
  const redis = await startRedis({ args: ['--appendfsync', appendfsync], env: powerCut.env })
  const producer = createProducer({ encryptionKeys: [], redisUrl: redis.url, prefix: 'cut', deadlineMs: 2000 })
  const confirmed: string[] = []
  let isCut = false
  let next = 0
  const enqueueUntilCut = async (): Promise<void> => {
    while (!isCut) {
      const eventId = `evt_${next++}`
      const body = Buffer.from(JSON.stringify({ eventId, filler: 'x'.repeat(2000) }))
      const delivery = { kind: 'event', eventId, environment: 'production', receivedAtMs: Date.now(), body } as const
      await producer.enqueue(delivery, new Deadline(5000)).then(
        () => confirmed.push(eventId),
        () => undefined,
      )
      if (confirmed.length >= CONFIRMED_BEFORE_CUT && !isCut) {
        isCut = true
        await redis.kill()
      }
    }
  }
  try {
    await Promise.all(Array.from({ length: ENQUEUES_AT_ONCE }, enqueueUntilCut))
    await powerCut.forgetUnsynced(join(redis.dir, 'data', 'appendonlydir'))
    await redis.restart()
    const kept = await waitingEvents(redis, 'cut')
    return { confirmed: confirmed.length, lost: confirmed.filter((eventId) => !kept.has(eventId)).length }
  } finally {
    await producer.close()
    await redis.stop()
  }
}

const powerCuts = await preparePowerCuts()
const options = powerCuts === null ? { skip: 'no C compiler here: not run' } : {}

t.test('what was confirmed outlives a power cut, and would not without fsync before the answer', options, async (t) => {
  for (let round = 0; round < ROUNDS; round += 1) {
    const { confirmed, lost } = await confirmedAndLost(powerCuts as PowerCuts, 'always')
    t.equal(lost, 0, `appendfsync always: none of ${confirmed} confirmed events is lost`)
  }
  // The check can fail: the setting that the promise excludes loses confirmed events.
  const { confirmed, lost } = await confirmedAndLost(powerCuts as PowerCuts, 'everysec')
  t.ok(lost > 0, `appendfsync everysec: ${lost} of ${confirmed} confirmed events are lost`)
})
