import { buildLifecycle } from '@persona-ingest/simulator'
import { throwAwayDatabase } from '@persona-ingest/testkit'
import { randomBytes } from 'node:crypto'
import t from 'tap'
import { runExample } from '../fixtures/run-example.ts'
import { storeSimulated } from '../fixtures/store-simulated.ts'

const keyOf = (id: string) => `${id}:${randomBytes(32).toString('base64')}`

t.test('fields are encrypted in the table and readable with the key, by either of two keys', async (t) => {
  const { url, sql } = await throwAwayDatabase(t)
  const key = keyOf('2026-12')
  const events = buildLifecycle({ scenario: 'approved', seed: 'encrypted', startAtMs: Date.UTC(2026, 1, 3) })
  await storeSimulated(url, events, [key])
  const id = String(events[0]?.inquiryId)
  const [row] = await sql('SELECT fields FROM inquiries WHERE id = $1', [id])
  t.type(row?.['fields'], 'string')

  const run = async (keys: readonly string[], inquiryId = id) =>
    runExample('read-encrypted-rows', {
      args: [inquiryId],
      env: { DATABASE_URL: url, STORAGE_ENCRYPTION_KEYS: keys.join(',') },
    })
  const read = await run([keyOf('2027-01'), key])
  t.strictSame([read.code, read.stderr], [0, ''])
  const printed = JSON.parse(read.stdout)
  t.match(printed, { id, status: 'approved', encryptedWith: '2026-12' })
  t.type(printed.fields.name_first.value, 'string')

  const withoutKey = await run([keyOf('2027-01')])
  t.equal(withoutKey.code, 1)
  t.match(withoutKey.stderr, '2026-12')
  t.match(await run([key], 'inq_of-no-one'), { code: 1, stderr: 'There is no inquiry inq_of-no-one.' })
})
