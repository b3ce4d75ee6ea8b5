import { once } from 'node:events'
import { Agent, request, type IncomingMessage } from 'node:http'
import { connect } from 'node:net'
import { setTimeout as wait } from 'node:timers/promises'
import { throwAwayRedis } from '@persona-ingest/testkit'
import t from 'tap'
import { anEventBody, signed } from '../fixtures/a-delivery.ts'
import { anIngressProcess } from '../fixtures/an-ingress-process.ts'
import { rawRequest } from '../fixtures/raw-request.ts'

const MB = 1024 * 1024

const redis = await throwAwayRedis(t)
const ingress = await anIngressProcess(t, { REDIS_URL: redis.url })

async function deliver(agent: Agent, body: Buffer): Promise<number> {
  const headers = { ...signed(body), 'content-length': body.length }
  const sent = request({ port: ingress.port, path: '/webhooks/persona', method: 'POST', agent, headers })
  sent.end(body)
  const [answer] = (await once(sent, 'response')) as [IncomingMessage]
  answer.resume()
  await once(answer, 'end')
  return answer.statusCode ?? 0
}

function head(body: Buffer, framing: string): string {
  const lines = Object.entries(signed(body)).map(([name, value]) => `${name}: ${value}`)
  return ['POST /webhooks/persona HTTP/1.1', 'host: x', ...lines, framing, '', ''].join('\r\n')
}

t.test('one kept connection brings 500 deliveries, large ones among them', { timeout: 60_000 }, async (t) => {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  t.teardown(() => agent.destroy())
  let connections = 0
  const create = agent.createConnection.bind(agent)
  agent.createConnection = (...args) => {
    connections += 1
    return create(...args)
  }
  const statuses = new Set<number>()
  for (let number = 0; number < 500; number += 1) {
    const extra = number % 10 === 0 ? { note: 'x'.repeat(MB) } : {}
    statuses.add(await deliver(agent, anEventBody({ id: `evt_kept_${number}`, extra })))
  }
  t.same([...statuses], [200])
  t.equal(connections, 1)
})

t.test('a body of 2 MB in packets of 1,460 bytes with pauses of 1 ms is accepted', { timeout: 60_000 }, async (t) => {
  const body = anEventBody({ id: 'evt_packets', extra: { note: 'x'.repeat(2 * MB - 1000) } })
  const socket = connect({ port: ingress.port, host: '127.0.0.1', noDelay: true })
  t.teardown(() => socket.destroy())
  socket.write(head(body, `content-length: ${body.length}`))
  for (let at = 0; at < body.length; at += 1460) {
    socket.write(body.subarray(at, at + 1460))
    await wait(1)
  }
  const [answer] = await once(socket, 'data')
  t.match(String(answer), /^HTTP\/1\.1 200 /)
})

t.test('bodies that a proxy frames anew in chunks of its buffers are accepted', async (t) => {
  const body = anEventBody({ id: 'evt_framed', extra: { note: 'x'.repeat(1.9 * MB) } })
  for (const size of [1460, 4096, 8192, 16_384, 32_768, body.length]) {
    const chunks: string[] = []
    for (let at = 0; at < body.length; at += size) {
      const chunk = body.subarray(at, at + size).toString()
      chunks.push(`${chunk.length.toString(16)}\r\n${chunk}\r\n`)
    }
    const bytes = `${head(body, 'transfer-encoding: chunked')}${chunks.join('')}0\r\n\r\n`
    t.match(await rawRequest(ingress.port, bytes, /}$/), /^HTTP\/1\.1 200 /, `${size} bytes`)
  }
})

t.test('a connection that sends empty lines without an end is cut, one with a few of them is not', async (t) => {
  const body = anEventBody({ id: 'evt_lines' })
  const bytes = `\r\n\r\n${head(body, `content-length: ${body.length}`)}${body.toString()}`
  t.match(await rawRequest(ingress.port, bytes, /}$/), /^HTTP\/1\.1 200 /)
  t.equal(await rawRequest(ingress.port, '\r\n'.repeat(100_000)), '')
})
