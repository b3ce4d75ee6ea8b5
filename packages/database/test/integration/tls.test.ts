import { noCertificates, throwAwayCertificate } from '@persona-ingest/testkit'
import t from 'tap'
import { openDatabase } from '../../src/index.ts'
import { aDatabase } from '../fixtures/a-database.ts'

const skip = await noCertificates()

t.test(
  'DATABASE_URL with sslmode=verify-full speaks TLS, and only to a server of the CA given',
  { skip },
  async (t) => {
    const { key, cert } = await throwAwayCertificate(t)
    const other = await throwAwayCertificate(t)
    const { url, sql } = await aDatabase(t, { settings: { ssl: 'on', ssl_cert_file: cert, ssl_key_file: key } })
    const tryWith = async (parameters: string) => {
      const database = openDatabase({ encryptionKeys: [], url: `${url}${url.includes('?') ? '&' : '?'}${parameters}` })
      t.teardown(() => database.close())
      return database.prisma.$queryRawUnsafe<{ ssl: boolean }[]>(
        'SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()',
      )
    }
    t.strictSame(await tryWith(`sslmode=verify-full&sslrootcert=${cert}`), [{ ssl: true }])
    await t.rejects(tryWith(`sslmode=verify-full&sslrootcert=${other.cert}`))
    await t.rejects(tryWith('sslmode=verify-full'))
    t.strictSame(await sql('SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()'), [{ ssl: false }])
  },
)
