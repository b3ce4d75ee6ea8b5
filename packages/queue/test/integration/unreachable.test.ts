import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { createServer } from 'node:tls'
import { noCertificates, throwAwayCertificate, throwAwayRedis } from '@persona-ingest/testkit'
import t, { type Test } from 'tap'
import { createProducer, QueueUnavailableError } from '../../src/index.ts'

/** What the first question, asked while the first connection is made, is answered with. */
async function refusalOf(t: Test, redisUrl: string) {
  const producer = createProducer({ redisUrl, encryptionKeys: [] })
  t.teardown(() => producer.close())
  const error = await producer.probe().then(
    () => null,
    (thrown: unknown) => thrown,
  )
  if (!(error instanceof QueueUnavailableError)) throw new Error('Expected a QueueUnavailableError')
  return error
}

async function tells(t: Test, redisUrl: string, causeCode: RegExp) {
  const { code, message, causeCode: told } = await refusalOf(t, redisUrl)
  t.equal(code, 'QUEUE_UNREACHABLE')
  t.match(told, causeCode)
  t.ok(message.endsWith(`(${told})`), message)
  t.notMatch(message, 'not-the-password')
}

t.test('a Redis that can not be reached is told with the code of the cause', async (t) => {
  await tells(t, 'redis://127.0.0.1:1', /^ECONNREFUSED$/)
  await tells(t, 'redis://redis.invalid:6379', /^(ENOTFOUND|EAI_AGAIN)$/)
})

t.test('a wrong or missing password is told by the code of Redis', async (t) => {
  const redis = await throwAwayRedis(t)
  await redis.command('CONFIG', 'SET', 'requirepass', 'right')
  const { host } = new URL(redis.url)
  await tells(t, `redis://:not-the-password@${host}`, /^WRONGPASS$/)
  await tells(t, `redis://${host}`, /^NOAUTH$/)
})

t.test(
  'a certificate that is not trusted is told by the code of OpenSSL',
  { skip: await noCertificates() },
  async (t) => {
    const paths = await throwAwayCertificate(t)
    const [key, cert] = await Promise.all([readFile(paths.key), readFile(paths.cert)])
    const server = createServer({ key, cert }).listen(0, '127.0.0.1')
    t.teardown(() => server.close())
    await once(server, 'listening')
    const address = server.address()
    const port = typeof address === 'object' ? address?.port : 0
    await tells(t, `rediss://127.0.0.1:${port}`, /CERT|SIGNATURE/)
  },
)
