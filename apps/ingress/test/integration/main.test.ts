import { connect, createServer, type AddressInfo } from 'node:net'
import { once } from 'node:events'
import t, { type Test } from 'tap'
import { freePort, spawnApp, throwAwayRedis } from '@persona-ingest/testkit'
import { anEventBody, PRODUCTION_SECRET, signed } from '../fixtures/a-delivery.ts'
import { anIngressProcess } from '../fixtures/an-ingress-process.ts'

type Ingress = Awaited<ReturnType<typeof anIngressProcess>>

async function post(ingress: Ingress, body: Buffer = anEventBody()): Promise<Response> {
  return fetch(`${ingress.url}/webhooks/persona`, { method: 'POST', headers: signed(body), body })
}

async function heldByFrozenRedis(t: Test, env: Readonly<Record<string, string>> = {}) {
  const redis = await throwAwayRedis(t)
  const ingress = await anIngressProcess(t, { REDIS_URL: redis.url, ...env })
  t.equal((await post(ingress, anEventBody({ id: 'evt_before' }))).status, 200)
  await redis.freeze()
  const answer = post(ingress).catch((error: unknown) => error)
  // Connections are accepted in their order, one per pass of the event loop: after these the delivery is held.
  for (let round = 0; round < 3; round += 1) t.equal((await fetch(`${ingress.url}/livez`)).status, 200)
  return { redis, ingress, answer }
}

t.test('a REDIS_URL with a database that the server does not have ends the process with 1, by name', async (t) => {
  const redis = await throwAwayRedis(t, { args: ['--databases', '2'] })
  const spawned = await spawnApp({
    entry: 'apps/ingress/src/main.ts',
    env: {
      HOST: '127.0.0.1',
      PORT: '0',
      METRICS_PORT: '0',
      PERSONA_WEBHOOK_SECRETS: 'wbhsec_of_this_test',
      REDIS_URL: `${redis.url}/5`,
    },
  })
  t.teardown(() => spawned.kill())
  t.same(await spawned.exit, { code: 1, signal: null })
  t.match(JSON.parse(spawned.lines.findLast((line) => line.includes('fatal')) ?? '{}'), {
    level: 'fatal',
    fault: 'QUEUE_DATABASE_REFUSED',
    msg: /^REDIS_URL: /,
  })
})

t.test('connections that are reset after a CONNECT do not end the process', async (t) => {
  const redis = await throwAwayRedis(t)
  const ingress = await anIngressProcess(t, { REDIS_URL: redis.url })
  for (let count = 0; count < 100; count += 1) {
    const socket = connect({ port: ingress.port, host: '127.0.0.1' })
    socket.on('error', () => {})
    await once(socket, 'connect')
    socket.write('CONNECT x:443 HTTP/1.1\r\nhost: x:443\r\n\r\n', () => socket.resetAndDestroy())
    await once(socket, 'close')
  }
  t.equal((await post(ingress)).status, 200)
})

t.test('an idle process drains at once, and exits 0', async (t) => {
  const redis = await throwAwayRedis(t)
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    const ingress = await anIngressProcess(t, { REDIS_URL: redis.url })
    const startedAt = performance.now()
    ingress.spawned.signal(signal)
    t.same(await ingress.spawned.exit, { code: 0, signal: null })
    t.ok(performance.now() - startedAt < 1900)
    t.match(ingress.last(), { level: 'info', msg: 'drained' })
  }
})

t.test('while a delivery is held the port answers 503; then it is finished, and the process exits 0', async (t) => {
  const { redis, ingress, answer } = await heldByFrozenRedis(t)
  ingress.spawned.signal('SIGTERM')
  await ingress.spawned.waitForLine((line) => line.includes('"draining"'))
  const ready = await fetch(`${ingress.url}/readyz`)
  t.equal(ready.status, 503)
  t.same(await ready.json(), { status: 'unavailable', missing: ['draining'] })
  const refused = await post(ingress)
  t.equal(refused.status, 503)
  t.match(refused.headers.get('retry-after'), /^\d+$/)
  t.equal(refused.headers.get('connection'), 'close')
  t.match(await refused.json(), { errors: [{ code: 'DRAINING' }] })
  t.equal((await fetch(`${ingress.metricsUrl}/readyz`)).status, 503)
  t.equal((await fetch(`${ingress.metricsUrl}/metrics`)).status, 200)
  await redis.thaw()
  t.equal(((await answer) as Response).status, 200)
  t.same(await ingress.spawned.exit, { code: 0, signal: null })
  t.match(ingress.last(), { level: 'info', msg: 'drained' })
})

t.test('a delivery that Redis never confirms gets 503, and the process exits 0 all the same', async (t) => {
  const { ingress, answer } = await heldByFrozenRedis(t)
  ingress.spawned.signal('SIGTERM')
  t.equal(((await answer) as Response).status, 503)
  t.same(await ingress.spawned.exit, { code: 0, signal: null })
})

t.test('past DRAIN_TIMEOUT_MS it exits 1 and says what was held', async (t) => {
  const { ingress, answer } = await heldByFrozenRedis(t, { DRAIN_TIMEOUT_MS: '200' })
  ingress.spawned.signal('SIGTERM')
  t.same(await ingress.spawned.exit, { code: 1, signal: null })
  t.match(ingress.last(), { level: 'error', timeoutMs: 200, heldDeliveries: 1 })
  await answer
})

t.test('a second signal ends it at once with 1', async (t) => {
  const { ingress, answer } = await heldByFrozenRedis(t)
  ingress.spawned.signal('SIGTERM')
  await ingress.spawned.waitForLine((line) => line.includes('"draining"'))
  const startedAt = performance.now()
  ingress.spawned.signal('SIGTERM')
  t.same(await ingress.spawned.exit, { code: 1, signal: null })
  t.ok(performance.now() - startedAt < 2000)
  await answer
})

t.test('clients that send nothing, or never end their body, do not hold the drain', async (t) => {
  const redis = await throwAwayRedis(t)
  const ingress = await anIngressProcess(t, { REDIS_URL: redis.url, DRAIN_TIMEOUT_MS: '4000' })
  const bytes = [
    '',
    'POST /webhooks/persona HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n{',
  ]
  for (const text of bytes) {
    const socket = connect({ port: ingress.port, host: '127.0.0.1' })
    socket.on('error', () => {})
    t.teardown(() => socket.destroy())
    await once(socket, 'connect')
    socket.write(text)
  }
  await post(ingress)
  ingress.spawned.signal('SIGTERM')
  t.same(await ingress.spawned.exit, { code: 0, signal: null })
})

t.test('Redis away at start: the process stays, a signal still drains it', async (t) => {
  const ingress = await anIngressProcess(t, { REDIS_URL: `redis://127.0.0.1:${await freePort()}` })
  await ingress.spawned.waitForLine((line) => line.includes('Redis connection in trouble'))
  t.equal((await fetch(`${ingress.url}/livez`)).status, 200)
  t.equal((await post(ingress)).status, 503)
  ingress.spawned.signal('SIGTERM')
  t.same(await ingress.spawned.exit, { code: 0, signal: null })
})

t.test('an invalid environment is told whole, without values, with exit code 1', async (t) => {
  const env = {
    REDIS_URL: 'http://marked-value',
    PORT: 'marked-value',
    NODE_ENV: 'production',
    PERSONA_WEBHOOK_SECRETS: 'wbhsec_development_only',
    IP_ALLOWLIST_FILE: '/marked-value',
    LOG_LEVEL: 'silent',
  }
  const spawned = await spawnApp({ entry: 'apps/ingress/src/main.ts', env })
  t.same(await spawned.exit, { code: 1, signal: null })
  const told = spawned.errorLines.join('\n')
  for (const name of ['REDIS_URL', 'PORT', 'IP_ALLOWLIST_FILE']) t.match(told, new RegExp(`^  ${name}: `, 'm'))
  t.match(told, /^ {2}PERSONA_WEBHOOK_SECRETS: holds the development secret/m)
  t.notMatch(told + spawned.lines.join('\n'), /marked-value/)
})

t.test('metrics bind to METRICS_HOST, apart from HOST', async (t) => {
  if (process.platform !== 'linux') return t.comment('only Linux has all of 127.0.0.0/8: not run')
  const redis = await throwAwayRedis(t)
  const statusOf = async (host: string, port: number) =>
    fetch(`http://${host}:${port}/livez`).then(
      (answer) => answer.status,
      () => 'refused',
    )
  const byDefault = await anIngressProcess(t, { REDIS_URL: redis.url, HOST: '0.0.0.0' })
  t.equal(await statusOf('127.0.0.1', byDefault.metricsPort), 200)
  t.equal(await statusOf('127.0.0.2', byDefault.metricsPort), 'refused')
  t.equal(await statusOf('127.0.0.2', byDefault.port), 200)
  const apart = await anIngressProcess(t, { REDIS_URL: redis.url, METRICS_HOST: '127.0.0.2' })
  t.equal(await statusOf('127.0.0.1', apart.metricsPort), 'refused')
  t.equal(await statusOf('127.0.0.2', apart.metricsPort), 200)
  t.equal(await statusOf('127.0.0.2', apart.port), 'refused')
})

t.test('a port that is taken ends it with exit code 1', async (t) => {
  const taken = createServer()
  taken.listen(0, '127.0.0.1')
  await once(taken, 'listening')
  t.teardown(() => taken.close())
  const env = {
    REDIS_URL: 'redis://127.0.0.1:1',
    PERSONA_WEBHOOK_SECRETS: PRODUCTION_SECRET,
    HOST: '127.0.0.1',
    PORT: String((taken.address() as AddressInfo).port),
    METRICS_PORT: '0',
  }
  const spawned = await spawnApp({ entry: 'apps/ingress/src/main.ts', env })
  t.same(await spawned.exit, { code: 1, signal: null })
  t.ok(spawned.lines.some((line) => line.includes('EADDRINUSE') && line.includes('"fatal"')))
})
