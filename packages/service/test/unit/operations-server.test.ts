import { createServer } from 'node:net'
import t, { type Test } from 'tap'
import { createRegistry, Readiness, startOperationsServer } from '../../src/index.ts'

async function start(t: Test, check: () => Promise<void> = async () => {}) {
  const readiness = new Readiness({ checks: { redis: check } })
  const server = await startOperationsServer({ port: 0, host: '127.0.0.1', registry: createRegistry(), readiness })
  t.teardown(async () => server.close())
  return { readiness, server, url: `http://127.0.0.1:${server.port}` }
}

t.test('livez, readyz and metrics answer', async (t) => {
  const { url } = await start(t)
  const live = await fetch(`${url}/livez`)
  t.equal(live.status, 200)
  t.same(await live.json(), { status: 'live' })
  const ready = await fetch(`${url}/readyz?verbose`)
  t.equal(ready.status, 200)
  t.same(await ready.json(), { status: 'ready' })
  const metrics = await fetch(`${url}/metrics`)
  t.equal(metrics.status, 200)
  t.match(metrics.headers.get('content-type'), /^text\/plain; version=0\.0\.4/)
  const text = await metrics.text()
  t.match(text, /^process_cpu_user_seconds_total /m)
  t.match(text, /^nodejs_eventloop_lag_p99_seconds /m)
})

t.test('readyz names what is missing, livez stays', async (t) => {
  const { url, readiness } = await start(t, async () => Promise.reject(new Error('away')))
  const answer = await fetch(`${url}/readyz`)
  t.equal(answer.status, 503)
  t.same(await answer.json(), { status: 'unavailable', missing: ['redis'] })
  readiness.beginShutdown()
  t.same(await (await fetch(`${url}/readyz`)).json(), { status: 'unavailable', missing: ['draining'] })
  t.equal((await fetch(`${url}/livez`)).status, 200)
})

t.test('other paths and methods are refused', async (t) => {
  const { url } = await start(t)
  t.equal((await fetch(`${url}/`)).status, 404)
  t.equal((await fetch(`${url}/metrics`, { method: 'POST', body: 'x' })).status, 405)
  const head = await fetch(`${url}/livez`, { method: 'HEAD' })
  t.equal(head.status, 200)
  t.equal(await head.text(), '')
})

t.test('a metric that cannot be read is 500, not a crash', async (t) => {
  const registry = { contentType: 'x', metrics: async () => Promise.reject(new Error('marked-value')) }
  const options = { port: 0, host: '127.0.0.1', readiness: new Readiness({ checks: {} }) }
  const server = await startOperationsServer({ ...options, registry: registry as never })
  t.teardown(async () => server.close())
  const answer = await fetch(`http://127.0.0.1:${server.port}/metrics`)
  t.equal(answer.status, 500)
  t.notMatch(await answer.text(), 'marked-value')
})

t.test('a port that is taken rejects', async (t) => {
  const taken = createServer()
  await new Promise<void>((resolve) => taken.listen(0, '127.0.0.1', resolve))
  t.teardown(() => taken.close())
  const { port } = taken.address() as { port: number }
  const options = { port, host: '127.0.0.1', registry: createRegistry(), readiness: new Readiness({ checks: {} }) }
  await t.rejects(startOperationsServer(options), { code: 'EADDRINUSE' })
})
