import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'
import { eventually } from '@persona-ingest/testkit'
import t from 'tap'
import { aFeed } from '../fixtures/a-feed.ts'
import { runExample, startExample } from '../fixtures/run-example.ts'

t.test('a receiver gets every change in order, also those that it refused at first', async (t) => {
  const feed = await aFeed(t)
  const taken: string[] = []
  let refusals = 2
  const answer = async (request: IncomingMessage, response: ServerResponse) => {
    const body = await text(request)
    refusals -= 1
    if (refusals < 0) taken.push(body)
    response.writeHead(refusals < 0 ? 204 : 503).end()
  }
  const receiver = createServer((request, response) => void answer(request, response))
  receiver.listen(0, '127.0.0.1')
  await once(receiver, 'listening')
  t.teardown(() => receiver.close())
  const target = `http://127.0.0.1:${(receiver.address() as AddressInfo).port}/`
  const env = { DATABASE_URL: feed.url, TARGET_URL: target }
  const running = await startExample('post-changes', { env })
  t.teardown(() => running.kill())
  await eventually(async () => (await feed.sql('SELECT FROM change_consumers')).length === 1, { deadlineMs: 60_000 })
  await feed.announce('pending', 'inq_1')
  await feed.announce('approved', 'inq_1')
  await eventually(() => taken.length === 2, { deadlineMs: 30_000 })
  t.strictSame(taken, [
    '{"id":"inq_1","version":"1","status":"pending"}',
    '{"id":"inq_1","version":"2","status":"approved"}',
  ])
  await eventually(async () => (await feed.sql('SELECT FROM change_consumers WHERE tick = 2')).length === 1)
  running.signal('SIGTERM')
  t.match(await running.exit, { code: 0 })
})

t.test('without its variables it names them', async (t) => {
  t.match(await runExample('post-changes', { env: {} }), { code: 2, stderr: 'TARGET_URL' })
})
