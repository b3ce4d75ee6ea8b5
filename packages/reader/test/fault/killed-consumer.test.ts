import { setTimeout as pause } from 'node:timers/promises'
import { eventually, spawnApp } from '@persona-ingest/testkit'
import t from 'tap'
import { aFeed } from '../fixtures/a-feed.ts'

const KILLS = Number(process.env['FAULT_KILLS'] ?? 5)

t.test('a consumer that is killed at any moment keeps each change exactly once in its own table', async (t) => {
  const feed = await aFeed(t)
  await feed.sql('CREATE TABLE kept (object_id text, version bigint, PRIMARY KEY (object_id, version))')
  const ending = new AbortController()
  let announced = 0
  const announcing = (async () => {
    for (; !ending.signal.aborted; announced += 1)
      await feed.announce(...[1, 2, 3].map((n) => `inq_${(announced + n) % 20}`))
  })()
  const start = async () =>
    spawnApp({ entry: 'packages/reader/test/fixtures/keep-changes.ts', env: { DATABASE_URL: feed.url } })
  const keptUpTo = async () => Number((await feed.sql('SELECT count(*)::int AS count FROM kept'))[0]?.['count'])
  for (let kills = 0; kills < KILLS; kills += 1) {
    const before = await keptUpTo()
    const consumer = await start()
    await eventually(async () => (await keptUpTo()) > before, { deadlineMs: 60_000 })
    await pause(Math.random() * 200)
    t.match(await consumer.kill(), { signal: 'SIGKILL' }, consumer.errorLines.join('\n'))
  }
  ending.abort()
  await announcing
  const consumer = await start()
  t.teardown(() => consumer.kill())
  await eventually(async () => (await keptUpTo()) === announced * 3, { deadlineMs: 60_000 })
  t.strictSame(await feed.sql('SELECT object_id, version FROM changes EXCEPT SELECT object_id, version FROM kept'), [])
  t.strictSame(await feed.sql('SELECT object_id, version FROM kept EXCEPT SELECT object_id, version FROM changes'), [])
  t.ok(announced > KILLS)
})
