import { once } from 'node:events'
import { createServer, type AddressInfo } from 'node:net'
import t from 'tap'
import { choosePort } from '../../src/choose-port.ts'

/** A port on which nothing listens; not from `get-port`, which would keep it for the caller. */
async function aFreePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}

t.test('a free port is taken as wanted, and nothing is said', async (t) => {
  const wanted = await aFreePort()
  const said: string[] = []
  t.equal(await choosePort({ name: 'it', wanted }, (text) => said.push(text)), wanted)
  t.same(said, [])
})

t.test('a port that is taken or spoken for gives the next free one, and says so', async (t) => {
  const wanted = await aFreePort()
  const server = createServer().listen(wanted, '127.0.0.1')
  t.teardown(() => server.close())
  await once(server, 'listening')
  const said: string[] = []
  const port = await choosePort({ name: 'it', wanted, spokenFor: [wanted + 1] }, (text) => said.push(text))
  t.ok(port > wanted + 1)
  t.same(said, [`Port ${wanted} is taken: it gets ${port}.`])
})

t.test('0 wants any', async (t) => {
  const port = await choosePort({ name: 'it', wanted: 0 }, () => t.fail('nothing to say'))
  t.ok(port > 0)
})
