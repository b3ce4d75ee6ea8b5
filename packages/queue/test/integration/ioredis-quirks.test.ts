// What ioredis does without each change of `src/ioredis-quirks.ts`. A test that fails says that its change may go.
import { eventually, throwAwayRedis, type TestScope } from '@persona-ingest/testkit'
import { Redis } from 'ioredis'
import t from 'tap'

const redis = await throwAwayRedis(t)

function aClient(t: TestScope, options: { db?: number } = {}): Redis {
  const client = new Redis({ host: '127.0.0.1', port: redis.port, ...options })
  client.on('error', () => {})
  t.teardown(() => client.disconnect())
  return client
}

t.test('a connection whose database is refused goes on with database 0', async (t) => {
  const client = aClient(t, { db: 999 })
  await client.set('of-another', 'written')
  t.equal(await redis.command('GET', 'of-another'), 'written')
})

t.test('a long text is joined with its frame before it is encoded', async (t) => {
  const client = aClient(t)
  await eventually(() => client.status === 'ready')
  const written: unknown[] = []
  const { stream } = client as unknown as { stream: { write: (chunk: unknown, ...rest: unknown[]) => boolean } }
  const write = stream.write.bind(stream)
  stream.write = (chunk, ...rest) => {
    written.push(chunk)
    return write(chunk, ...rest)
  }
  await client.set('long', 'x'.repeat(100_000))
  t.ok(written.some((chunk) => typeof chunk === 'string' && chunk.length > 100_000))
})
