import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Socket } from 'node:net'
import { setTimeout as wait } from 'node:timers/promises'
import t from 'tap'
import { eventually, freePort, halfOpenProxy, type HalfOpenProxy, type TestScope } from '@persona-ingest/testkit'

type Echo = { readonly proxy: HalfOpenProxy; readonly received: string[]; readonly sockets: Set<Socket> }

/** A server that answers each piece with itself, behind a proxy. */
async function echoBehindProxy(t: TestScope): Promise<Echo> {
  const received: string[] = []
  const sockets = new Set<Socket>()
  const server = createServer((socket) => {
    sockets.add(socket)
    socket.on('error', () => {})
    socket.on('close', () => sockets.delete(socket))
    socket.on('data', (bytes) => {
      received.push(String(bytes))
      socket.write(bytes)
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const proxy = await halfOpenProxy({ targetPort: (server.address() as AddressInfo).port })
  t.teardown(async () => {
    await proxy.close()
    server.close()
  })
  return { proxy, received, sockets }
}

type TestClient = { readonly socket: Socket; readonly answers: string[]; readonly closed: Promise<string> }

async function connectTo(t: TestScope, proxy: HalfOpenProxy): Promise<TestClient> {
  const socket = connect({ port: proxy.port, host: '127.0.0.1' })
  t.teardown(() => socket.destroy())
  const answers: string[] = []
  socket.on('data', (bytes) => answers.push(String(bytes)))
  const closed = new Promise<string>((resolve) => {
    socket.on('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? 'no code'))
    socket.on('close', () => resolve('closed'))
  })
  await Promise.race([once(socket, 'connect').catch(() => {}), closed])
  return { socket, answers, closed }
}

/** Long enough for a piece to pass a proxy that lets it; what must not happen has no event to wait for. */
const momentMs = 100

t.test('passes both directions and the end', async (t) => {
  const { proxy, sockets } = await echoBehindProxy(t)
  const client = await connectTo(t, proxy)
  client.socket.write('ping')
  await eventually(() => client.answers[0] === 'ping')
  t.equal(proxy.connections, 1)
  client.socket.end('last')
  t.equal(await client.closed, 'closed')
  t.equal(client.answers.join(''), 'pinglast')
  await eventually(() => sockets.size === 0 && proxy.connections === 0)
})

t.test('silent accepts and never answers; afterwards what was held goes on its way', async (t) => {
  const { proxy, received } = await echoBehindProxy(t)
  const earlier = await connectTo(t, proxy)
  await proxy.silent()
  const later = await connectTo(t, proxy)
  earlier.socket.write('earlier')
  later.socket.write('later')
  await wait(momentMs)
  t.same([received, earlier.answers, later.answers], [[], [], []])
  await proxy.pass()
  await eventually(() => earlier.answers[0] === 'earlier' && later.answers[0] === 'later')
})

t.test('while silent, the server does not learn that its client is gone', async (t) => {
  const { proxy, sockets } = await echoBehindProxy(t)
  const client = await connectTo(t, proxy)
  await eventually(() => sockets.size === 1)
  await proxy.silent()
  client.socket.resetAndDestroy()
  await eventually(() => proxy.connections === 0)
  await wait(momentMs)
  t.equal(sockets.size, 1)
  await proxy.pass()
  await eventually(() => sockets.size === 0)
})

t.test('mute lets the request through and holds the answer', async (t) => {
  const { proxy, received } = await echoBehindProxy(t)
  const client = await connectTo(t, proxy)
  await proxy.mute()
  client.socket.write('request')
  await eventually(() => received.length === 1)
  await wait(momentMs)
  t.same(client.answers, [])
  await proxy.pass()
  await eventually(() => client.answers[0] === 'request')
})

t.test('refuse ends what is open and refuses what is new, until pass', async (t) => {
  const { proxy } = await echoBehindProxy(t)
  const port = proxy.port
  const earlier = await connectTo(t, proxy)
  await proxy.refuse()
  t.equal(await earlier.closed, 'ECONNRESET')
  t.equal(await (await connectTo(t, proxy)).closed, 'ECONNREFUSED')
  await proxy.pass()
  t.equal(proxy.port, port)
  const later = await connectTo(t, proxy)
  later.socket.write('back')
  await eventually(() => later.answers[0] === 'back')
})

t.test('reset resets what is open and what is new, until pass', async (t) => {
  const { proxy } = await echoBehindProxy(t)
  const earlier = await connectTo(t, proxy)
  await proxy.reset()
  t.equal(await earlier.closed, 'ECONNRESET')
  t.equal(await (await connectTo(t, proxy)).closed, 'ECONNRESET')
  await proxy.pass()
  const later = await connectTo(t, proxy)
  later.socket.write('back')
  await eventually(() => later.answers[0] === 'back')
})

t.test('delay holds each answer as long as told, in order, also those that overlap', async (t) => {
  const { proxy } = await echoBehindProxy(t)
  const client = await connectTo(t, proxy)
  await proxy.delay(200)
  const startedAtMs = performance.now()
  client.socket.setNoDelay(true)
  client.socket.write('one')
  await wait(50)
  client.socket.write('two')
  await eventually(() => client.answers.length === 2)
  const tookMs = performance.now() - startedAtMs
  t.equal(client.answers.join(), 'one,two')
  t.ok(tookMs >= 245 && tookMs < 400, `both came after ${tookMs} ms`)
})

t.test('a server that is not there looks like a reset', async (t) => {
  const proxy = await halfOpenProxy({ targetPort: await freePort() })
  t.teardown(() => proxy.close())
  t.equal(await (await connectTo(t, proxy)).closed, 'ECONNRESET')
})

t.test('leadTo ends what is open and leads what is new elsewhere', async (t) => {
  const { proxy, received } = await echoBehindProxy(t)
  const other = await echoBehindProxy(t)
  const before = await connectTo(t, proxy)
  before.socket.write('before')
  await eventually(() => before.answers.join('') === 'before')
  proxy.leadTo(other.proxy.port)
  t.equal(await before.closed, 'ECONNRESET')
  const after = await connectTo(t, proxy)
  after.socket.write('after')
  await eventually(() => after.answers.join('') === 'after')
  t.strictSame([received, other.received], [['before'], ['after']])
})
