import { createHash, randomBytes } from 'node:crypto'
import { Deadline, NO_KEYS } from '@persona-ingest/core'
import { everyKey, eventually, throwAwayRedis } from '@persona-ingest/testkit'
import { Queue } from 'bullmq'
import t from 'tap'
import { createProducer, type Delivery } from '../../src/index.ts'
import { writeJobData } from '../../src/job-data.ts'
import { aQueue, done } from '../a-queue.ts'

const quarantined: Extract<Delivery, { kind: 'quarantined' }> = {
  kind: 'quarantined',
  reason: 'INVALID_JSON',
  eventId: null,
  environment: 'production',
  receivedAtMs: 1,
  body: Buffer.from('{"birthdate":"1990-01-01"'),
}
const digest = createHash('sha256').update(quarantined.body).digest('hex')

for (const encryptionKeys of [[], [`a:${randomBytes(32).toString('base64')}`]]) {
  const words = encryptionKeys.length === 0 ? 'without encryption keys' : 'with encryption keys'
  t.test(`no digest that needs no key stands in Redis, and all processes find the same id, ${words}`, async (t) => {
    const redis = await throwAwayRedis(t)
    const producers = [1, 2].map(() => createProducer({ redisUrl: redis.url, encryptionKeys }))
    t.teardown(() => Promise.all(producers.map((producer) => producer.close())))
    for (const producer of producers) await producer.enqueue(quarantined, new Deadline(5000))
    t.equal((await producers[0]?.counts())?.waiting, 1)
    t.notMatch(await everyKey(redis), digest)
    t.match(await redis.command('LRANGE', 'bull:persona-events:wait', 0, -1), [/^q-[0-9a-f]{64}$/])
  })
}

t.test('a job that an older version named by an unkeyed digest is handed over', async (t) => {
  const redis = await throwAwayRedis(t)
  const { prefix, aConsumer, taken } = aQueue(t, redis)
  const queue = new Queue('persona-events', { connection: { host: '127.0.0.1', port: redis.port }, prefix })
  await queue.add('quarantined', writeJobData(quarantined, 0, NO_KEYS), { jobId: `q-${digest}` })
  await queue.close()
  const consumer = aConsumer(done)
  await eventually(() => taken.length === 1)
  t.match(taken, [{ kind: 'quarantined', reason: 'INVALID_JSON' }])
  await eventually(async () => (await consumer.counts()).active === 0)
})
