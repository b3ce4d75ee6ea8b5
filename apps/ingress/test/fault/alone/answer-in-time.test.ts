import t, { type Test } from 'tap'
import { eventually, halfOpenProxy, throwAwayRedis } from '@persona-ingest/testkit'
import { anEventBody, PRODUCTION_SECRET, signed } from '../../fixtures/a-delivery.ts'
import { aLoad } from '../../fixtures/a-load.ts'
import { anIngressProcess } from '../../fixtures/an-ingress-process.ts'

/** The limit of an answer, as the client sees it. @see docs/contract.md#2-http-the-ingress */
const LIMIT_MS = 4000
/** More than Node.js lets wait to be accepted by default: see LISTEN_BACKLOG. */
const CONNECTIONS = 600

const redis = await throwAwayRedis(t)
const proxy = await halfOpenProxy({ targetPort: redis.port })
t.teardown(async () => proxy.close())
const env = { REDIS_URL: `redis://127.0.0.1:${proxy.port}`, LOG_LEVEL: 'info' }
const [ingress, load] = await Promise.all([anIngressProcess(t, env), aLoad(t)])
// A process that has answered nothing yet is several times slower.
const usual = { port: ingress.port, secret: PRODUCTION_SECRET, bodyBytes: 3000 }
await (
  await load.begin({ ...usual, connections: 50, seconds: 1.5 })
).result
const pause = async (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms))

type Ingress = Awaited<ReturnType<typeof anIngressProcess>>

async function accepts(to: Ingress): Promise<boolean> {
  const body = anEventBody()
  return (await fetch(`${to.url}/webhooks/persona`, { method: 'POST', headers: signed(body), body })).status === 200
}

type Fault = { readonly begin: () => Promise<unknown>; readonly end: () => Promise<unknown> }

/** Breaks Redis under a load that goes on for some seconds more; every answer must come, and in time. */
async function answersInTime(
  t: Test,
  fault: Fault,
  options: { to?: Ingress; connections?: number; bodyBytes?: number },
) {
  const { to = ingress, connections = CONNECTIONS, bodyBytes = 3000 } = options
  const { result } = await load.begin({ ...usual, port: to.port, connections, bodyBytes, seconds: 4 })
  // Choosing the moment: while deliveries are in flight.
  await pause(500)
  await fault.begin()
  const { statuses, worstMs } = await result
  t.comment(`${JSON.stringify(statuses)}, the last after ${worstMs} ms`)
  t.ok(worstMs < LIMIT_MS, `${worstMs} ms`)
  t.strictSame(Object.keys(statuses).filter((status) => status !== '200' && status !== '503'), []) // prettier-ignore
  t.ok((statuses['503'] ?? 0) > 0, 'the fault was met')
  await fault.end()
  await eventually(async () => accepts(to), { deadlineMs: 15_000 })
}

t.test('Redis frozen', async (t) => {
  await answersInTime(t, { begin: async () => redis.freeze(), end: async () => redis.thaw() }, {})
})

t.test('Redis frozen, with bodies of nearly 2 MiB', async (t) => {
  const fault = { begin: async () => redis.freeze(), end: async () => redis.thaw() }
  await answersInTime(t, fault, { connections: 16, bodyBytes: 1_900_000 })
})

t.test('Redis killed and restarted, twice', async (t) => {
  const fault = async () => {
    for (let round = 0; round < 2; round += 1) {
      await redis.kill()
      await pause(500)
      await redis.restart()
    }
  }
  await answersInTime(t, { begin: fault, end: async () => {} }, {})
})

for (const fault of ['silent', 'reset'] as const) {
  t.test(`the way to Redis fails: ${fault}`, async (t) => {
    await answersInTime(t, { begin: async () => proxy[fault](), end: async () => proxy.pass() }, {})
  })
}

t.test('the first connection to Redis finds a peer that says nothing', async (t) => {
  await proxy.silent()
  const late = await anIngressProcess(t, env)
  await answersInTime(t, { begin: async () => {}, end: async () => proxy.pass() }, { to: late })
})
