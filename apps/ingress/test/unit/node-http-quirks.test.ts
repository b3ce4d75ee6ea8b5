import { createServer, IncomingMessage } from 'node:http'
import { connect, type AddressInfo, type Socket } from 'node:net'
import { once } from 'node:events'
import t, { type Test } from 'tap'
import { stopParsing } from '../../src/http/node-http-quirks.ts'

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

t.test('what was read with a request is not parsed any more', async (t) => {
  const made = await requestsMade(t, (socket) => {
    stopParsing(socket)
    socket.destroy()
  })
  t.ok(made <= 5, `${made} requests`)
})

t.test(
  'Node.js alone goes on to parse for a socket that is destroyed: else the workaround is needed no more',
  async (t) => {
    t.ok((await requestsMade(t, (socket) => socket.destroy())) > 100)
  },
)
