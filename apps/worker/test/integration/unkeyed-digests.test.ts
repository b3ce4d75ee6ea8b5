import { openDatabase } from '@persona-ingest/database'
import { createLogger } from '@persona-ingest/service'
import { throwAwayDatabase } from '@persona-ingest/testkit'
import t from 'tap'
import { unkeyedDigestRemoval } from '../../src/upkeep.ts'

const { url, sql } = await throwAwayDatabase(t)
const database = openDatabase({ encryptionKeys: [], url })
t.teardown(() => database.close())

/** As a worker before keyed digests wrote it. */
async function olderLetter(body: Buffer): Promise<void> {
  await sql(
    `INSERT INTO dead_letters (environment, reason, error, body, body_sha256, object_ids, received_at, failed_at, attempts, state)
    VALUES ('production', 'INVALID_JSON', 'x', $1, sha256($1), '{}', now(), now(), 0, 'open')`,
    [body],
  )
}
const sealedByMissingKey = Buffer.concat([Buffer.from('\0sealed\0missing:'), Buffer.alloc(64)])

t.test('dead letters that do not decrypt are read again after an hour, and others after half a minute', async (t) => {
  const lines: string[] = []
  const destination = { write: (line: string) => void lines.push(line) }
  const logger = createLogger({ app: 'worker', level: 'info', destination })
  const env = { DATABASE_URL: url, STORAGE_ENCRYPTION_KEYS: [] }
  const { pauseMs, work } = unkeyedDigestRemoval(database, env, logger)
  const pauses = [pauseMs()]
  const passes = [
    async () => {},
    async () => olderLetter(sealedByMissingKey),
    async () => {},
    async () => olderLetter(Buffer.from('{')),
  ]
  for (const change of passes) {
    await change()
    await work()
    pauses.push(pauseMs())
  }
  await work()
  pauses.push(pauseMs())
  t.strictSame(pauses, [30_000, 30_000, 3_600_000, 3_600_000, 30_000, 3_600_000])
  t.equal(lines.filter((line) => line.includes('do not open')).length, 1)
})
