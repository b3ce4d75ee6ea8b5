import { eventually, noPgBouncer, throwAwayPooler } from '@persona-ingest/testkit'
import t from 'tap'
import { openReader } from '../../src/index.ts'
import { aFeed, next, told } from '../fixtures/a-feed.ts'

const skip = await noPgBouncer()

for (const mode of ['transaction', 'session', 'statement'] as const)
  t.test(`behind a pooler of ${mode}s a consumer gets every change within seconds`, { skip }, async (t) => {
    const feed = await aFeed(t)
    const pooler = await throwAwayPooler(t, feed.server, { mode, settings: { default_pool_size: '5' } })
    const reader = openReader({ url: pooler.url() })
    t.teardown(() => reader.close())
    const changes = reader.changes({ consumer: 'a' })
    let waiting = next(changes)
    await eventually(async () => (await feed.cursor('a')) !== null)
    for (let version = 1; version <= 5; version += 1) {
      const tick = await feed.announce('inq_1')
      const announcedAtMs = performance.now()
      const batch = await waiting
      // Without notifications it polls twice a second; the rest is for a busy machine.
      t.ok(performance.now() - announcedAtMs < 4_000)
      t.strictSame(told(batch), [`inq_1/${version}`])
      waiting = next(changes)
      await batch.commit()
      t.equal(await feed.cursor('a'), tick)
    }
    t.match(await reader.findInquiry('inq_1'), { id: 'inq_1', version: 5n, verifications: [] })
    await changes.return()
  })
