import { createServer, type AddressInfo } from 'node:net'
import t, { type Test } from 'tap'
import {
  freePort,
  halfOpenProxy,
  noCertificates,
  throwAwayCertificate,
  throwAwayDatabase,
} from '@persona-ingest/testkit'
import { failureOf, openDatabase, prune, tryWriting } from '../../src/index.ts'

const skip = await noCertificates()
const { url, server } = await throwAwayDatabase(t)

/** What three ways of using a database say of it; they must agree. */
async function descriptionsOf(databaseUrl: string): Promise<readonly string[]> {
  const database = openDatabase({ encryptionKeys: [], url: databaseUrl, connections: 1 })
  const { prisma } = database
  const limits = { eventsBefore: null, deadLettersBefore: null }
  const calls = [
    () => tryWriting(database),
    () => prisma.$transaction(async (inner) => inner.$queryRawUnsafe('SELECT 1'), { maxWait: 10_000 }),
    () => prune({ encryptionKeys: [], databaseUrl, ...limits }),
  ]
  const failures = []
  for (const call of calls) failures.push(await call().then(() => null, failureOf)) // prettier-ignore
  await database.close()
  for (const failure of failures) t.match(failure, { kind: 'outage' })
  return failures.map((failure) => failure?.description ?? 'no failure')
}

const agreeOn = async (t: Test, databaseUrl: string, expected: RegExp) => {
  for (const description of await descriptionsOf(databaseUrl)) t.match(description, expected)
}

t.test('a host that is not known, and one on which nothing listens, are told apart', async (t) => {
  await agreeOn(t, 'postgresql://u:MARK@no-such-host.invalid/db', /^the (host of DATABASE_URL has no address|name service).* \((ENOTFOUND|EAI_AGAIN)\)$/) // prettier-ignore
  await agreeOn(t, `postgresql://u:MARK@127.0.0.1:${await freePort()}/db`, /no server listens .*\(ECONNREFUSED\)/)
})

t.test('a socket that is not there is told as that', async (t) => {
  await agreeOn(t, 'postgresql://u:MARK@/db?host=/no/such/folder', /socket .* is not there \(ENOENT\)/)
})

t.test('a server without TLS, of an unknown CA, or for another host, is told as that', { skip }, async (t) => {
  await agreeOn(t, `${url}?sslmode=verify-full`, /does not support TLS/)
  const { key, cert } = await throwAwayCertificate(t, 'DNS:elsewhere.example')
  const tls = await throwAwayDatabase(t, { migrate: false, settings: { ssl: 'on', ssl_cert_file: cert, ssl_key_file: key } }) // prettier-ignore
  await agreeOn(t, `${tls.url}?sslmode=verify-full`, /CA that is not known here.* \(DEPTH_ZERO_SELF_SIGNED_CERT\)/)
  await agreeOn(
    t,
    `${tls.url}?sslmode=verify-full&sslrootcert=${cert}`,
    /another host \(ERR_TLS_CERT_ALTNAME_INVALID\)/,
  )
})

t.test('a missing password is told, and a connection that breaks', async (t) => {
  await agreeOn(t, url.replace(/:[^:@/]+@/, '@'), /DATABASE_URL has none/)
  const breaking = createServer((socket) => socket.destroy())
  await new Promise<void>((resolve) => breaking.listen(0, '127.0.0.1', resolve))
  t.teardown(() => breaking.close())
  await agreeOn(t, `postgresql://u:MARK@127.0.0.1:${(breaking.address() as AddressInfo).port}/db`, /connection lost/)
})

t.test('a server that accepts connections and says nothing is told within seconds', async (t) => {
  const proxy = await halfOpenProxy({ targetPort: server.port })
  t.teardown(() => proxy.close())
  await proxy.silent()
  await agreeOn(t, url.replace(`:${server.port}/`, `:${proxy.port}/`), /no connection was opened in time/)
})
