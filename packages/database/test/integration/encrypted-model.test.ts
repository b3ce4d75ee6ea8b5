import fc from 'fast-check'
import { encryptStored, openDatabase } from '../../src/index.ts'
import t from 'tap'
import { valuesSql } from '@persona-ingest/testkit'
import { aDatabase } from '../fixtures/a-database.ts'
import { give } from '../fixtures/give.ts'
import { documentsOf } from '../fixtures/opened-rows.ts'
import { linesOf, verified } from '../fixtures/rebuilt.ts'
import { aKey } from '../fixtures/some-keys.ts'
import { erasures, history } from '../model/history.ts'

const RUNS = Number(process.env['PROPERTY_RUNS'] ?? 40)
const SEED = process.env['PROPERTY_SEED'] === undefined ? Date.now() % 1_000_000 : Number(process.env['PROPERTY_SEED'])

const plain = await aDatabase(t)
const sealed = await aDatabase(t)
const [a, b] = [aKey('a'), aKey('b')]
/** Those that meet during a rotation: both open what either has sealed. */
const rings = [
  [a, b],
  [b, a],
]
const clients = rings.map((encryptionKeys) => openDatabase({ url: sealed.url, encryptionKeys, connections: 2 }))
for (const client of clients) t.teardown(() => client.close())

/** Every column that is not sealed. */
async function openColumns({ sql }: typeof plain): Promise<string> {
  const tables = ['inquiries', 'verifications', 'resources', 'objects', 'claims', 'event_objects', 'redactions']
  const lines = tables.map((name) => `SELECT '${name} ' || (${valuesSql('r')} - 'attributes' - 'fields')::text AS line FROM ${name} r`) // prettier-ignore
  const events = `SELECT concat_ws(' ', 'events', id, outcome, status, inquiry_id) FROM events`
  const rows = await sql(`${[...lines, events].join(' UNION ALL ')} ORDER BY 1`)
  return rows.map(({ line }) => String(line)).join('\n')
}

t.test('sealed or not, under keys that change on the way, any history ends in the same rows', async (t) => {
  await fc.assert(
    fc.asyncProperty(
      fc.tuple(history(8), erasures).chain(([events, erased]) => {
        const items = [...events, ...erased]
        return fc.shuffledSubarray(items, { minLength: items.length })
      }),
      fc.array(fc.nat(rings.length - 1), { minLength: 1, maxLength: 8 }),
      async (items, turns) => {
        await Promise.all([plain.empty(), sealed.empty()])
        for (let at = 0; at < items.length; at += 2) {
          const batch = items.slice(at, at + 2)
          const client = clients[turns[at % turns.length] as number]
          if (client === undefined) throw new Error('Expected a client')
          await give(plain.opened, batch)
          await give(client, batch)
        }
        const [expected, found] = await Promise.all([documentsOf(plain.sql), documentsOf(sealed.sql, [a, b])])
        const readable = found.filter(({ stored }) => stored !== '{}' && !stored.startsWith('"'))
        if (readable.length > 0) throw new Error(`not sealed: ${readable.map(({ place }) => place).join(', ')}`)
        const textOf = (documents: typeof found) =>
          documents.map(({ place, opened }) => `${place} ${opened}`).join('\n')
        if (textOf(found) !== textOf(expected))
          throw new Error(`expected\n${textOf(expected)}\nfound\n${textOf(found)}`)
        const [columns, encryptedColumns] = await Promise.all([openColumns(plain), openColumns(sealed)])
        if (columns !== encryptedColumns) throw new Error(`expected\n${columns}\nfound\n${encryptedColumns}`)
      },
    ),
    { numRuns: RUNS, seed: SEED, endOnFailure: false },
  )
  await encryptStored({ databaseUrl: sealed.url, encryptionKeys: [b, a] })
  t.strictSame(linesOf(await verified(sealed.url, { encryptionKeys: [b] })), [], 'and the log says what the rows say')
  t.pass(`${RUNS} histories, seed ${SEED}`)
})
