import { eventually } from '@persona-ingest/testkit'
import t from 'tap'
import { aFeed } from '../fixtures/a-feed.ts'
import { runExample, startExample } from '../fixtures/run-example.ts'

t.test('the copy equals the rows: at first, after changes, and after a restore', async (t) => {
  const feed = await aFeed(t)
  const both = `SELECT id AS inquiry_id, version, status FROM inquiries ORDER BY id`
  const copied = () => feed.sql('SELECT inquiry_id, version, status FROM statuses ORDER BY inquiry_id')
  const isEqual = async () => JSON.stringify(await copied().catch(() => [])) === JSON.stringify(await feed.sql(both))
  const ids = Array.from({ length: 1_500 }, (_, index) => `inq_${index}`)
  await feed.announce('pending', ...ids)
  const running = await startExample('copy-statuses', { env: { DATABASE_URL: feed.url } })
  t.teardown(() => running.kill())
  await eventually(isEqual, { deadlineMs: 60_000 })
  await feed.announce('approved', 'inq_3', 'inq_new')
  await eventually(isEqual)
  // A restore is told by the timeline. Rows go back with it.
  await feed.sql(`UPDATE change_feed SET timeline = timeline + 1`)
  await feed.sql(`UPDATE inquiries SET status = 'pending', version = 1 WHERE id = 'inq_3'`)
  await feed.announce('declined', 'inq_4')
  await eventually(isEqual)
  await feed.announce('expired', 'inq_5')
  await eventually(isEqual)
  t.equal(running.lines.filter((line) => line.startsWith('copied all rows')).length, 2)
  running.signal('SIGTERM')
  t.match(await running.exit, { code: 0 })
})

t.test('without its variable it names it', async (t) => {
  t.match(await runExample('copy-statuses', { env: {} }), { code: 2, stderr: 'DATABASE_URL' })
})
