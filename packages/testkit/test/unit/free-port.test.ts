import { once } from 'node:events'
import { createServer, type AddressInfo } from 'node:net'
import t from 'tap'
import { freePort, isPortFree } from '@persona-ingest/testkit'

t.test('a free port lies below the range of outgoing connections and can be listened on', async (t) => {
  const port = await freePort()
  t.ok(port >= 20_000 && port < 32_000)
  t.equal(await isPortFree(port), true)
})

t.test('a port on which something listens is not free', async (t) => {
  const server = createServer().listen(0, '127.0.0.1')
  t.teardown(() => server.close())
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  t.equal(await isPortFree(port), false)
  t.equal(await isPortFree(port, '0.0.0.0'), false)
})
