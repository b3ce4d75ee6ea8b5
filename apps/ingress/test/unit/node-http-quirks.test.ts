import { createServer, IncomingMessage, type RequestListener } from 'node:http'
import { connect, type AddressInfo, type Socket } from 'node:net'
import { once } from 'node:events'
import t, { type Test } from 'tap'
import { eventually } from '@persona-ingest/testkit'
import {
  admitRequests,
  BoundedRequest,
  hasBegunToAnswer,
  isReceiving,
  stopParsing,
} from '../../src/http/node-http-quirks.ts'

/** A server and a client that is connected to it; `socket` is the end of the server. */
async function aConnection(
  t: Test,
  answer: RequestListener,
  options: { IncomingMessage?: typeof IncomingMessage } = {},
) {
  const server = createServer(options, answer)
  t.teardown(() => server.close())
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const connected = once(server, 'connection') as Promise<[Socket]>
  const client = connect((server.address() as AddressInfo).port, '127.0.0.1')
  t.teardown(() => client.destroy())
  client.on('error', () => {})
  let received = ''
  client.on('data', (piece) => (received += String(piece)))
  const [socket] = await connected
  return { server, socket, client, received: () => received }
}

/** How many requests a server makes of what one write brings, where each connection is destroyed at its fourth. */
async function requestsMade(t: Test, end: (socket: Socket) => void): Promise<number> {
  let made = 0
  class Counted extends IncomingMessage {
    constructor(socket: Socket) {
      super(socket)
      made += 1
      if (made === 4) end(socket)
    }
  }
  const server = createServer({ IncomingMessage: Counted }, (_request, response) => void response.end())
  t.teardown(() => server.close())
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const client = connect((server.address() as AddressInfo).port, '127.0.0.1')
  client.on('error', () => {})
  client.resume()
  client.write('GET / HTTP/1.1\r\nhost: x\r\n\r\n'.repeat(1000))
  await once(client, 'close')
  return made
}

t.test('stopParsing ends the parsing of bytes that were read with a request', async (t) => {
  const made = await requestsMade(t, (socket) => {
    stopParsing(socket)
    socket.destroy()
  })
  t.ok(made <= 5, `${made} requests`)
})

t.test(
  'without stopParsing Node.js parses the bytes of a destroyed socket: else the workaround is needed no more',
  async (t) => {
    t.ok((await requestsMade(t, (socket) => socket.destroy())) > 100)
  },
)

t.test('isReceiving: a request that is not complete stands at the parser of its socket', async (t) => {
  const { client, socket, received } = await aConnection(t, (_request, response) => void response.end('ok'))
  t.notOk(isReceiving(socket))
  client.write('POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\n\r\nab')
  await eventually(() => isReceiving(socket))
  client.write('cd')
  await eventually(() => !isReceiving(socket))
  await eventually(() => received().includes('ok'))
})

t.test('hasBegunToAnswer: the answer in flight stands at its socket', async (t) => {
  const begun: boolean[] = []
  for (const first of ['', 'GET / HTTP/1.1\r\nhost: x\r\n\r\n']) {
    const { client, server, received } = await aConnection(t, (_request, response) => void response.write('part'))
    server.on('clientError', (_error, socket) => {
      begun.push(hasBegunToAnswer(socket))
      socket.destroy()
    })
    client.write(first)
    if (first !== '') await eventually(() => received().includes('part'))
    client.write('no HTTP\r\n\r\n')
    await once(client, 'close')
  }
  t.strictSame(begun, [false, true])
})

t.test('admitRequests sees a request that Node.js answers itself: else an event of the server would do', async (t) => {
  const paths: string[] = []
  const { client, socket, received } = await aConnection(t, ({ url }, response) => {
    paths.push(url ?? '')
    response.end()
  })
  let admitted = 0
  admitRequests(socket, () => (admitted += 1) <= 2)
  client.write('GET /first HTTP/1.1\r\nhost: x\r\nexpect: something\r\n\r\n')
  await eventually(() => received().includes(' 417 '))
  client.write('GET /second HTTP/1.1\r\nhost: x\r\n\r\n')
  await eventually(() => received().includes(' 200 '))
  client.write('GET /third HTTP/1.1\r\nhost: x\r\n\r\n')
  await once(client, 'close')
  t.strictSame(paths, ['/second'])
  t.equal(admitted, 3)
})

t.test(
  'BoundedRequest counts the pieces of an unread body, which Node.js alone drops: else `_dump` may go',
  async (t) => {
    const bases: readonly (readonly [typeof IncomingMessage, boolean])[] = [
      [IncomingMessage, false],
      [BoundedRequest, true],
    ]
    for (const [Base, isCounted] of bases) {
      let pushed = 0
      class Counted extends Base {
        override push(piece: Uint8Array | null, encoding?: BufferEncoding): boolean {
          pushed += piece?.length ?? 0
          return super.push(piece, encoding)
        }
      }
      const answer: RequestListener = ({ url }, response) => void response.end(url)
      const { client, received } = await aConnection(t, answer, { IncomingMessage: Counted })
      client.write('POST /unread HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\n\r\n')
      await eventually(() => received().includes('/unread'))
      client.write('abcdGET /next HTTP/1.1\r\nhost: x\r\n\r\n')
      await eventually(() => received().includes('/next'))
      t.equal(pushed > 0, isCounted, Base.name)
    }
  },
)
