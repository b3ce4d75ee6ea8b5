import t from 'tap'
import { readReplayableDeadLetters, removeUnkeyedDigests, encryptStored } from '../../src/index.ts'
import { readDeadLetters } from '../../src/dead-letters/redact.ts'
import { allDeadLetters } from '../../src/redaction/scan-log.ts'
import { aDatabase, RECEIVED_AT_MS } from '../fixtures/a-database.ts'
import { aKey } from '../fixtures/some-keys.ts'

const { url, sql, keepDeadLetter, opened } = await aDatabase(t)
const LARGE = 1_500_000
const COUNT = 8
for (let index = 0; index < COUNT; index += 1) await keepDeadLetter({ body: Buffer.alloc(LARGE, `${index}`) })
await keepDeadLetter({ body: Buffer.alloc(5_000_000, 'x') })
for (let index = 0; index < COUNT; index += 1) await keepDeadLetter({ body: Buffer.from(`small ${index}`) })
const ids = (await sql('SELECT id::text AS id FROM dead_letters ORDER BY dead_letters.id')).map(({ id }) => String(id))
/** The page ends with the body that reaches 4 MB. */
const EXPECTED = [3, 3, 3, 8]

t.test('a redaction reads pages of letters that are bounded by bytes, each letter once', async (t) => {
  const pages = []
  for await (const page of readDeadLetters(opened.sql, ids.toReversed())) pages.push(page.map(({ id }) => id))
  t.strictSame(pages.map(({ length }) => length), EXPECTED) // prettier-ignore
  t.strictSame(pages.flat(), ids)
})

t.test('a replay reads pages of letters that are bounded by bytes, each letter once', async (t) => {
  const pages = []
  for (let after: string | undefined = '0'; after !== undefined;) {
    const page = await readReplayableDeadLetters(opened, { reason: null }, { after, nowMs: RECEIVED_AT_MS })
    after = page.at(-1)?.id
    if (after !== undefined) pages.push(page.map(({ id }) => id))
  }
  t.strictSame(pages.map(({ length }) => length), EXPECTED) // prettier-ignore
  t.strictSame(pages.flat(), ids)
})

t.test('an erasure scans each letter once', async (t) => {
  const found = []
  for await (const { id } of allDeadLetters(opened.sql)) found.push(id)
  t.strictSame(found, ids)
})

t.test('letters are written anew in pages that are bounded by bytes', async (t) => {
  await sql(
    'UPDATE dead_letters SET digest_of = NULL, body_digest = NULL, digest_key_id = NULL, body_sha256 = sha256(body)',
  )
  const older = await removeUnkeyedDigests(opened, { databaseUrl: url, encryptionKeys: [] })
  t.strictSame(older, { refreshed: ids.length, undecryptableIds: [] })
  const done: number[] = [0]
  const onProgress = (progress: { readonly column: string; readonly done: number }) => {
    if (progress.column === 'dead_letters.body') done.push(progress.done)
  }
  await encryptStored({ databaseUrl: url, encryptionKeys: [aKey('a')], onProgress })
  const pages = done.slice(1).map((sum, index) => sum - (done[index] ?? 0)).filter((rows) => rows > 0) // prettier-ignore
  t.strictSame(pages, EXPECTED)
})
