import { freePort, spawnApp, startRedis } from '@persona-ingest/testkit'
import t from 'tap'

const entry = 'packages/queue/test/fault/closed-consumer.ts'
/** The longest that BullMQ waits for a fetch it has given up, and a busy machine. */
const SOON_MS = 15_000

async function endOf(t: Tap, redisUrl: string, meanwhile: () => Promise<void> = async () => {}): Promise<unknown> {
  const app = await spawnApp({ entry, env: { REDIS_URL: redisUrl, CLOSE_AFTER_MS: '1500' } })
  t.teardown(() => app.kill())
  await app.waitForLine((line) => line === 'started')
  await meanwhile()
  await app.waitForLine((line) => line === 'closed')
  return await Promise.race([app.exit, new Promise((resolve) => setTimeout(resolve, SOON_MS, 'alive').unref())])
}
type Tap = Pick<typeof t, 'teardown'>

t.test('closed while Redis is away, nothing keeps the process alive', async (t) => {
  const never = await freePort()
  t.strictSame(await endOf(t, `redis://127.0.0.1:${never}`), { code: 0, signal: null }, 'it never was there')
  const redis = await startRedis({})
  t.teardown(() => redis.stop())
  t.strictSame(await endOf(t, redis.url, () => redis.kill()), { code: 0, signal: null }, 'it was killed')
})
