import { once } from 'node:events'
import { connect } from 'node:net'
import { throwAwayRedis } from '@persona-ingest/testkit'
import t, { type Test } from 'tap'
import { anEventBody, signed } from '../fixtures/a-delivery.ts'
import { anApp } from '../fixtures/an-app.ts'
import { rawRequest } from '../fixtures/raw-request.ts'

const redis = await throwAwayRedis(t)
const ANSWER = /\r\n\r\n\{.*\}$/s

async function listening(t: Test, env: Record<string, string> = {}) {
  const served = await anApp(t, { redisUrl: redis.url, env })
  await served.app.listen({ port: 0, host: '127.0.0.1' })
  const port = Number(new URL(served.app.listeningOrigin).port)
  return { ...served, port }
}

function head(path: string, headers: Record<string, string>): string {
  const lines = Object.entries({ host: 'x', ...headers }).map(([name, value]) => `${name}: ${value}\r\n`)
  return `POST ${path} HTTP/1.1\r\n${lines.join('')}\r\n`
}

function chunked(body: Buffer, bytes: number): string {
  const chunks: string[] = []
  for (let at = 0; at < body.length; at += bytes) {
    const chunk = body.subarray(at, at + bytes)
    chunks.push(`${chunk.length.toString(16)}\r\n${chunk.toString('latin1')}\r\n`)
  }
  return `${chunks.join('')}0\r\n\r\n`
}

t.test('an authentic body is accepted in chunks of any usual length, byte for byte', async (t) => {
  const { port, queued } = await listening(t)
  const bodies = new Map<string, Buffer>()
  for (const [bytes, length] of [
    [1, 3000],
    [7, 3000],
    [64, 100_000],
    [512, 300_000],
    [1460, 1_900_000],
    [65_536, 1_900_000],
  ] as const) {
    // prettier-ignore
    const body = anEventBody({ id: `evt_${bytes}`, extra: { note: 'x'.repeat(length) } })
    bodies.set(`evt_${bytes}`, body)
    const request = head('/webhooks/persona', { ...signed(body), 'transfer-encoding': 'chunked' })
    t.match(await rawRequest(port, request + chunked(body, bytes), ANSWER), /^HTTP\/1\.1 200 /, `${bytes} bytes`)
  }
  for (const { eventId, body } of await queued(bodies.size))
    t.ok(bodies.get(eventId ?? '')?.equals(Buffer.from(body)), `${eventId} as it came`)
})

t.test('an authentic body that comes in packets of a few bytes is accepted', async (t) => {
  const { port } = await listening(t)
  const body = anEventBody({ id: 'evt_drip', extra: { note: 'x'.repeat(600) } })
  const socket = connect({ port, host: '127.0.0.1', noDelay: true })
  socket.write(head('/webhooks/persona', { ...signed(body), 'content-length': String(body.length) }))
  for (let at = 0; at < body.length; at += 3) {
    socket.write(body.subarray(at, at + 3))
    await new Promise((resolve) => setImmediate(resolve))
  }
  const [answer] = (await once(socket, 'data')) as [Buffer]
  t.match(answer.toString(), /^HTTP\/1\.1 200 /)
  socket.destroy()
})

/** Sends without an end; gives what was answered until the other side closes, and how much it took. */
async function endless(port: number, first: string, more: string) {
  const socket = connect({ port, host: '127.0.0.1' })
  let answer = ''
  socket.on('error', () => {})
  socket.on('data', (bytes) => (answer += bytes.toString()))
  socket.write(first)
  const fill = () => {
    if (!socket.destroyed) socket.write(more, () => setImmediate(fill))
  }
  fill()
  await once(socket, 'close')
  return { answer, sentBytes: socket.bytesWritten }
}

t.test('chunks of one byte without an end are cut, whatever the path says', { timeout: 20_000 }, async (t) => {
  const { port, registry } = await listening(t)
  for (const path of ['/webhooks/persona', '/nowhere', '/livez']) {
    const request = head(path, { 'content-type': 'application/json', 'transfer-encoding': 'chunked' })
    const { sentBytes } = await endless(port, request, '1\r\n \r\n'.repeat(1000))
    t.ok(sentBytes < 4_000_000, `${path}: ${sentBytes} bytes`)
  }
  t.match(await registry.metrics(), /persona_ingress_deliveries_total\{outcome="refused",reason="BODY_FRAGMENTED"/)
})

t.test('a refused body without an end is read no further than its client needs to see the answer', async (t) => {
  const { port } = await listening(t)
  const request = head('/webhooks/persona', { 'content-type': 'application/json', 'content-length': '1000000000' })
  const { answer, sentBytes } = await endless(port, request, ' '.repeat(65_536))
  t.match(answer, /^HTTP\/1\.1 413 /)
  t.ok(sentBytes < 40_000_000, `${sentBytes} bytes`)
})

t.test('a chunked body over the limit is 413 as soon as it is', async (t) => {
  const { port } = await listening(t, { BODY_LIMIT_BYTES: '100' })
  const request = head('/webhooks/persona', { 'content-type': 'application/json', 'transfer-encoding': 'chunked' })
  for (const bytes of [200, 1]) {
    const body = chunked(Buffer.alloc(200, ' '), bytes).replace(/0\r\n\r\n$/, '')
    t.match(await rawRequest(port, request + body, ANSWER), /^HTTP\/1\.1 413 /, `${bytes}`)
  }
})

t.test('an unknown expectation is 417 and a second Host is 400, in the form of all errors', async (t) => {
  const { port } = await listening(t)
  const expectation = await rawRequest(port, 'GET /livez HTTP/1.1\r\nhost: x\r\nexpect: other\r\n\r\n')
  t.match(expectation, /^HTTP\/1\.1 417 [^]*application\/vnd\.api\+json[^]*"code":"EXPECTATION_FAILED"/)
  for (const second of ['host: x', 'Host: y', 'HOST:']) {
    const twoHosts = await rawRequest(port, `GET /livez HTTP/1.1\r\nhost: x\r\n${second}\r\n\r\n`)
    t.match(twoHosts, /^HTTP\/1\.1 400 [^]*application\/vnd\.api\+json[^]*"code":"REQUEST_MALFORMED"/, second)
  }
  const body = anEventBody()
  const request = head('/webhooks/persona', { ...signed(body), 'content-length': String(body.length), expect: '100-continue' }) // prettier-ignore
  const continued = await rawRequest(port, request + body.toString(), ANSWER)
  t.match(continued, /^HTTP\/1\.1 100 Continue\r\n\r\nHTTP\/1\.1 200 /)
})
