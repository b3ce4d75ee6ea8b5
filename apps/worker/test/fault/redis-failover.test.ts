import { eventBody } from '../fixtures/an-event.ts'
import { signatureHeader } from '@persona-ingest/persona'
import { eventually, freePort, halfOpenProxy, spawnApp, startRedis, throwAwayDatabase, type RedisServer } from '@persona-ingest/testkit' // prettier-ignore
import { setTimeout as pause } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { aWorkerProcess, says } from '../fixtures/a-worker-process.ts'

const SECRET = 'wbhsec_redis-failover'

async function aRedis(t: Test, args: readonly string[] = []): Promise<RedisServer> {
  const redis = await startRedis({ args })
  t.teardown(async () => redis.stop())
  return redis
}

/** The whole path as processes of their own: a delivery over HTTP at one end, rows at the other. */
async function thePath(t: Test, redisUrl: string) {
  const { url: databaseUrl, sql } = await throwAwayDatabase(t)
  const port = await freePort()
  const ingress = await spawnApp({
    entry: 'apps/ingress/src/main.ts',
    env: { HOST: '127.0.0.1', PORT: String(port), METRICS_PORT: '0', REDIS_URL: redisUrl, PERSONA_WEBHOOK_SECRETS: SECRET }, // prettier-ignore
  })
  t.teardown(async () => ingress.kill())
  await ingress.waitForLine(says('ingress ready'))
  const worker = await aWorkerProcess(t, { REDIS_URL: redisUrl, DATABASE_URL: databaseUrl })
  const accepted: string[] = []
  /** The status of the answer; what was acknowledged is remembered. */
  const deliver = async (id: string): Promise<number> => {
    const body = eventBody({ id, inquiryId: `inq_${id}` })
    const signature = signatureHeader({ body, secrets: [SECRET], timestampSeconds: Math.floor(Date.now() / 1000) })
    const headers = { 'content-type': 'application/json', 'persona-signature': signature }
    const { status } = await fetch(`http://127.0.0.1:${port}/webhooks/persona`, { method: 'POST', headers, body })
    if (status === 200) accepted.push(id)
    return status
  }
  const areStored = async () => {
    const rows = await sql('SELECT id FROM events')
    const missing = accepted.filter((id) => !rows.some((row) => row['id'] === id))
    if (missing.length > 0) throw new Error(`not stored: ${missing.length}, such as ${missing[0]}`)
  }
  const costNothing = async () => {
    t.strictSame(await sql('SELECT event_id FROM dead_letters'), [])
    t.equal(worker.count('event failed, retrying'), 0, 'no attempt was used up')
  }
  return { ingress, worker, deliver, areStored, costNothing, accepted }
}

type Path = Awaited<ReturnType<typeof thePath>>

/** Both ends go on by themselves; `what` begins the time that it takes them. */
async function goesOn(t: Test, path: Path, what: string): Promise<void> {
  const beganAtMs = performance.now()
  const tookMs = () => `${Math.round(performance.now() - beganAtMs)} ms`
  let n = 0
  await eventually(async () => (await path.deliver(`evt_after_${n++}`)) === 200, { deadlineMs: 30_000, everyMs: 100 })
  t.comment(`accepted again ${tookMs()} after ${what}`)
  await eventually(path.areStored, { deadlineMs: 60_000 })
  t.comment(`all stored ${tookMs()} after ${what}`)
  t.match([path.ingress.lines.filter(says('ingress ready')).length, path.worker.count('worker started')], [1, 1])
}

async function isInSync(master: RedisServer): Promise<boolean> {
  return (await master.command('WAIT', 1, 1000)) === 1
}

t.test(
  'Redis fails over to a replica: refused meanwhile, both apps go on with the new master by themselves',
  async (t) => {
    const master = await aRedis(t)
    const replica = await aRedis(t, ['--replicaof', '127.0.0.1', String(master.port)])
    await eventually(() => isInSync(master), { deadlineMs: 30_000 })
    const proxy = await halfOpenProxy({ targetPort: master.port })
    t.teardown(async () => proxy.close())
    const path = await thePath(t, `redis://127.0.0.1:${proxy.port}`)
    for (let n = 0; n < 50; n += 1) t.equal(await path.deliver(`evt_before_${n}`), 200)
    await path.worker.waitForLine(says('event stored'))
    await eventually(() => isInSync(master), { deadlineMs: 30_000 })

    await master.kill()
    t.equal(await path.deliver('evt_away'), 503)
    // The address moves first, as it may: a replica takes no writes until it is told.
    proxy.leadTo(replica.port)
    for (let n = 0; n < 5; n += 1) t.equal(await path.deliver(`evt_read_only_${n}`), 503)
    await replica.command('REPLICAOF', 'NO', 'ONE')
    await goesOn(t, path, 'the replica was promoted')
    await path.costNothing()
  },
)

t.test('Redis fails over to a replica that had not got everything yet: what is left goes on', async (t) => {
  const master = await aRedis(t)
  const replica = await aRedis(t)
  const proxy = await halfOpenProxy({ targetPort: master.port })
  t.teardown(async () => proxy.close())
  const path = await thePath(t, `redis://127.0.0.1:${proxy.port}`)
  for (let n = 0; n < 20; n += 1) t.equal(await path.deliver(`evt_before_${n}`), 200)
  await eventually(path.areStored)
  // The worst case: the new master knows nothing, not even BullMQ's own keys.
  await master.kill()
  proxy.leadTo(replica.port)
  await goesOn(t, path, 'the address led to an empty master')
  await path.costNothing()
})

t.test('Redis freezes under a loaded worker, longer than its locks last', async (t) => {
  const redis = await aRedis(t)
  const path = await thePath(t, redis.url)
  await Promise.all(Array.from({ length: 300 }, async (_, n) => path.deliver(`evt_before_${n}`)))
  await path.worker.waitForLine(says('event stored'))
  await redis.freeze()
  const answers = await Promise.all(Array.from({ length: 5 }, async (_, n) => path.deliver(`evt_frozen_${n}`)))
  t.strictSame([...new Set(answers)], [503])
  // Not waiting for anything: the locks of what the worker holds run out after 10 s.
  await pause(12_000)
  t.match(await path.worker.get('/readyz'), { status: 503 })
  await redis.thaw()
  await goesOn(t, path, 'the thaw')
  await path.costNothing()
})
