import { noCertificates, throwAwayCertificate, freePort } from '@persona-ingest/testkit'
import { readFileSync } from 'node:fs'
import { createServer, type RequestListener } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import { createServer as createTcpServer, type AddressInfo, type Server, type Socket } from 'node:net'
import t from 'tap'
import type { Test } from 'tap'
import { openEndpoint, type EndpointOptions, type Resolve } from '../../src/endpoint.ts'
import { EndpointError } from '../../src/endpoint-error.ts'

async function listening(t: Test, server: Server): Promise<number> {
  const sockets = new Set<Socket>()
  server.on('connection', (socket: Socket) => void sockets.add(socket))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  return (server.address() as AddressInfo).port
}

const anHttpServer = async (t: Test, answer: RequestListener) => await listening(t, createServer(answer))
/** A server that answers with bytes. */
const aRawServer = async (t: Test, answer: (socket: Socket) => void) =>
  await listening(
    t,
    createTcpServer((socket) => {
      socket.on('error', () => undefined)
      socket.once('data', () => answer(socket))
    }),
  )

function anEndpoint(t: Test, url: string, more: Partial<EndpointOptions> = {}) {
  const endpoint = openEndpoint({ url, isPrivateAllowed: false, concurrency: 2, ...more })
  t.teardown(() => endpoint.close())
  return {
    post: async (timeoutMs = 5_000, signal = new AbortController().signal) =>
      await endpoint.post({ headers: { 'content-type': 'application/json' }, body: '{}', timeoutMs, signal }),
  }
}

const fails = async (t: Test, posted: Promise<unknown>, code: string, more: object = {}) =>
  await t.rejects(posted, { name: 'EndpointError', code, ...more }, code)

t.test('any 2xx is success; every other status is a failure by name', async (t) => {
  let status = 200
  let requests = 0
  const port = await anHttpServer(t, (_, response) => {
    requests += 1
    response.writeHead(status, { location: 'http://127.0.0.1/elsewhere' }).end('text')
  })
  const { post } = anEndpoint(t, `http://127.0.0.1:${port}/`)
  for (status of [200, 201, 204, 299]) t.strictSame(await post(), { status, isCut: false })
  for (status of [301, 302, 307, 308, 304]) await fails(t, post(), 'ENDPOINT_REDIRECTED', { status })
  for (status of [400, 404, 410, 429]) await fails(t, post(), 'ENDPOINT_REJECTED', { status })
  for (status of [500, 503]) await fails(t, post(), 'ENDPOINT_FAILED', { status })
  t.equal(requests, 15, 'nothing was followed')
})

t.test('a connection is used again, and replaced where the server had ended it', async (t) => {
  const connections = new Set<Socket>()
  let requests = 0
  const port = await anHttpServer(t, (request, response) => {
    requests += 1
    connections.add(request.socket)
    if (requests === 3) return void request.socket.resetAndDestroy()
    response.end('ok')
  })
  const { post } = anEndpoint(t, `http://127.0.0.1:${port}/`)
  await post()
  await post()
  t.equal(connections.size, 1)
  t.match(await post(), { status: 200 }, 'the third was repeated on another connection')
  t.equal(connections.size, 2)
})

t.test('an endpoint that hangs takes the time of a request and no longer', async (t) => {
  const hangs: Readonly<Record<string, (socket: Socket) => void>> = {
    silent: () => undefined,
    'a header without end': (socket) => {
      socket.write('HTTP/1.1 200 OK\r\nx: ')
      setInterval(() => socket.write('x'), 20).unref()
    },
    'answers of 103 without end': (socket) => {
      setInterval(() => socket.write('HTTP/1.1 103 Early Hints\r\n\r\n'), 20).unref()
    },
  }
  for (const [name, answer] of Object.entries(hangs)) {
    const { post } = anEndpoint(t, `http://127.0.0.1:${await aRawServer(t, answer)}/`)
    const startedAtMs = performance.now()
    await fails(t, post(500), 'ENDPOINT_TIMEOUT')
    t.ok(performance.now() - startedAtMs < 3_000, name)
  }
})

t.test('the body of an answer is read in part at most', async (t) => {
  const sent = { bytes: 0 }
  const port = await anHttpServer(t, (request, response) => {
    response.writeHead(request.url === '/ok' ? 200 : 500)
    const chunk = Buffer.alloc(65_536)
    const write = (): void => {
      while (!response.destroyed && response.write(chunk)) sent.bytes += chunk.length
      sent.bytes += chunk.length
    }
    response.on('drain', write)
    response.on('error', () => undefined)
    write()
  })
  t.strictSame(await anEndpoint(t, `http://127.0.0.1:${port}/ok`).post(), { status: 200, isCut: true })
  await fails(t, anEndpoint(t, `http://127.0.0.1:${port}/bad`).post(), 'ENDPOINT_FAILED', { status: 500 })
  t.ok(sent.bytes < 50_000_000, `${sent.bytes} bytes were sent`)
})

t.test('a body that comes slowly delays the success by a second at most', async (t) => {
  const port = await anHttpServer(t, (_, response) => {
    response.writeHead(200)
    setInterval(() => response.write('x'), 50).unref()
  })
  const startedAtMs = performance.now()
  t.strictSame(await anEndpoint(t, `http://127.0.0.1:${port}/`).post(), { status: 200, isCut: true })
  t.ok(performance.now() - startedAtMs < 4_000)
})

t.test('what is no HTTP, or has too many headers, is a failure by name', async (t) => {
  const answers = [
    'SSH-2.0-OpenSSH\r\n\r\n',
    'HTTP/1.1 999999 x\r\n\r\n',
    `HTTP/1.1 200 OK\r\n${Array.from({ length: 2000 }, (_, at) => `x-${at}: ${'y'.repeat(50)}`).join('\r\n')}\r\n\r\n`,
  ]
  for (const answer of answers) {
    const port = await aRawServer(t, (socket) => void socket.end(answer))
    await fails(t, anEndpoint(t, `http://127.0.0.1:${port}/`).post(), 'ENDPOINT_ANSWER_INVALID')
  }
  for (const answer of ['', 'HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n']) {
    const port = await aRawServer(t, (socket) => void socket.end(answer))
    await fails(t, anEndpoint(t, `http://127.0.0.1:${port}/`).post(), 'ENDPOINT_UNREACHABLE')
  }
})

t.test('no server, no name and an interruption are failures by name', async (t) => {
  await fails(t, anEndpoint(t, `http://127.0.0.1:${await freePort()}/`).post(), 'ENDPOINT_UNREACHABLE', {
    causeCode: 'ECONNREFUSED',
  })
  const resolve: Resolve = (_, __, callback) => callback(Object.assign(new Error('no'), { code: 'ENOTFOUND' }), [])
  await fails(t, anEndpoint(t, 'https://hooks.example/', { resolve }).post(), 'ENDPOINT_NAME_UNRESOLVED', {
    causeCode: 'ENOTFOUND',
  })
  const port = await aRawServer(t, () => undefined)
  const interruption = new AbortController()
  const posted = anEndpoint(t, `http://127.0.0.1:${port}/`).post(10_000, interruption.signal)
  setImmediate(() => interruption.abort())
  await fails(t, posted, 'NOTIFICATION_INTERRUPTED')
  await fails(t, anEndpoint(t, `http://127.0.0.1:${port}/`).post(10_000, AbortSignal.abort()), 'NOTIFICATION_INTERRUPTED') // prettier-ignore
})

t.test('a name that resolves to a private address is refused before a connection', async (t) => {
  let connections = 0
  const port = await aRawServer(t, () => undefined)
  const counting = await listening(
    t,
    createTcpServer(() => (connections += 1)),
  )
  t.ok(port > 0)
  const resolveTo = (...addresses: readonly string[]): Resolve => (_, __, callback) =>
    callback(null, addresses.map((address) => ({ address, family: address.includes(':') ? 6 : 4 }))) // prettier-ignore
  for (const address of [
    '127.0.0.1',
    '::1',
    '10.0.0.1',
    '::ffff:127.0.0.1',
    '169.254.169.254',
    'fd00::1',
    '0.0.0.0',
    '100.64.0.1',
    'fe80::1%lo',
  ]) {
    // prettier-ignore
    const url = `https://hooks.example:${counting}/`
    await fails(t, anEndpoint(t, url, { resolve: resolveTo(address) }).post(), 'ENDPOINT_ADDRESS_REFUSED')
  }
  await fails(t, anEndpoint(t, `http://localhost:${counting}/`, { resolve: resolveTo('10.0.0.1') }).post(), 'ENDPOINT_ADDRESS_REFUSED') // prettier-ignore
  t.equal(connections, 0)
})

t.test('what was resolved is what is connected to: a name that changes leads nowhere else', async (t) => {
  let asked = 0
  const port = await anHttpServer(t, (_, response) => void response.end('private'))
  // The first answer is allowed, every later one is this machine.
  const resolve: Resolve = (_, __, callback) => {
    asked += 1
    callback(null, [{ address: asked === 1 ? '192.0.2.77' : '127.0.0.1', family: 4 }])
  }
  const error = await anEndpoint(t, `http://hooks.example:${port}/`, { resolve }).post(300).catch((thrown: unknown) => thrown) // prettier-ignore
  t.ok(error instanceof EndpointError)
  t.equal(asked, 1)
  const allowed: Resolve = (_, __, callback) => callback(null, [{ address: '127.0.0.1', family: 4 }])
  const endpoint = anEndpoint(t, `http://hooks.example:${port}/`, { resolve: allowed, isPrivateAllowed: true })
  t.match(await endpoint.post(), { status: 200 }, 'with NOTIFIER_ALLOW_PRIVATE=true')
})

t.test('a certificate that is not trusted is a failure by name', { skip: await noCertificates() }, async (t) => {
  const { key, cert } = await throwAwayCertificate(t)
  const tls = { key: readFileSync(key), cert: readFileSync(cert) }
  const port = await listening(
    t,
    createTlsServer(tls, (_, response) => void response.end()),
  )
  await fails(t, anEndpoint(t, `https://127.0.0.1:${port}/`).post(), 'ENDPOINT_TLS_FAILED')
  const plain = await anHttpServer(t, (_, response) => void response.end())
  await fails(t, anEndpoint(t, `https://127.0.0.1:${plain}/`).post(), 'ENDPOINT_TLS_FAILED')
})
