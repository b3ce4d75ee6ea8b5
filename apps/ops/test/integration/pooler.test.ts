import { noPgBouncer, throwAwayDatabase, throwAwayPooler } from '@persona-ingest/testkit'
import t from 'tap'
import { runHere } from '../fixtures/run-here.ts'

t.test('behind a pooler of transactions every command is refused by name', { skip: await noPgBouncer() }, async (t) => {
  const { server } = await throwAwayDatabase(t)
  const pooler = await throwAwayPooler(t, server, { mode: 'transaction' })
  const env = { DATABASE_URL: pooler.url(), STORAGE_ENCRYPTION_KEYS: `k:${Buffer.alloc(32).toString('base64')}` }
  for (const command of [
    'inquiries list',
    'dead-letters list',
    'operations list',
    'prune --older-than 30 --dry-run',
    'rebuild --verify',
    'seal',
  ]) {
    const { code, stderr } = await runHere(command.split(' '), env)
    t.equal(code, 1, command)
    t.match(stderr, /it must pool sessions \(docs\/poolers\.md\)$/m, command)
  }
})
