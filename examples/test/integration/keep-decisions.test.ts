import { eventually } from '@persona-ingest/testkit'
import t from 'tap'
import { aFeed } from '../fixtures/a-feed.ts'
import { runExample, startExample } from '../fixtures/run-example.ts'

t.test('each decision is kept exactly once, though the program is killed', async (t) => {
  const feed = await aFeed(t)
  const env = { DATABASE_URL: feed.url }
  await feed.announce('approved', 'inq_1')
  const kept = () => feed.sql(`SELECT inquiry_id, version::int, status FROM decisions ORDER BY inquiry_id, version`)
  const has = async (count: number) => (await kept().catch(() => [])).length === count
  const killed = await startExample('keep-decisions', { env })
  await eventually(async () => has(1), { deadlineMs: 60_000 })
  await killed.kill()
  await feed.announce('pending', 'inq_1', 'inq_2')
  await feed.announce('declined', 'inq_1')
  const running = await startExample('keep-decisions', { env })
  t.teardown(() => running.kill())
  await eventually(async () => has(2), { deadlineMs: 60_000 })
  await feed.announce('approved', 'inq_2')
  await eventually(async () => has(3))
  running.signal('SIGTERM')
  t.match(await running.exit, { code: 0 })
  t.strictSame(running.errorLines, [])
  t.same(await kept(), [
    { inquiry_id: 'inq_1', version: 1, status: 'approved' },
    { inquiry_id: 'inq_1', version: 3, status: 'declined' },
    { inquiry_id: 'inq_2', version: 2, status: 'approved' },
  ])
})

t.test('without its variable it names it', async (t) => {
  t.match(await runExample('keep-decisions', { env: {} }), { code: 2, stderr: 'DATABASE_URL' })
})
