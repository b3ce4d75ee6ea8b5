import { throwAwayRedis } from '@persona-ingest/testkit'
import t from 'tap'
import { anEventBody } from '../fixtures/a-delivery.ts'
import { anApp } from '../fixtures/an-app.ts'

const extra = { 'name-first': 'Zoe', 'photo-url': 'https://files.example/x.jpg?access_token=T', note: 'kept' }
const env = { ATTRIBUTE_BLOCKLIST: 'name-*', DROP_FILE_TOKENS: 'true' }

t.test('what is not to be stored does not get into the queue', async (t) => {
  const redis = await throwAwayRedis(t)
  const app = await anApp(t, { redisUrl: redis.url, env })
  const body = anEventBody({ id: 'evt_1', extra })
  t.match(await app.deliver({ body }), { status: 200, json: { status: 'accepted' } })
  const unusable = Buffer.from(body.toString().replace('evt_1', 'not an id'))
  t.match(await app.deliver({ body: unusable }), { status: 200, json: { status: 'quarantined' } })
  for (const { body: kept } of await app.queued(2)) {
    const text = Buffer.from(kept).toString()
    t.match(text, '"note":"kept"')
    t.match(text, 'https://files.example/x.jpg"')
    t.notMatch(text, /name-first|Zoe|access_token/)
  }
})

t.test('what is not to be stored goes from a body of any nesting', async (t) => {
  const redis = await throwAwayRedis(t)
  const app = await anApp(t, { redisUrl: redis.url, env })
  const depths = [500, 3_000, 50_000]
  for (const depth of depths) {
    const nested = '{"a":'.repeat(depth) + JSON.stringify(extra) + '}'.repeat(depth)
    const body = anEventBody({ id: `evt_${depth}`, extra: { ...extra, deep: 'HERE' } })
    const answer = await app.deliver({ body: Buffer.from(body.toString().replace('"HERE"', nested)) })
    t.match(answer.json, depth < 1_000 ? { status: 'accepted' } : { reason: 'NESTING_TOO_DEEP' })
  }
  for (const { body: kept } of await app.queued(depths.length)) {
    const text = Buffer.from(kept).toString()
    t.equal(text.split('"note":"kept"').length, 3, 'both places')
    t.notMatch(text, /name-first|Zoe|access_token/)
  }
})

t.test('a body that is no JSON is kept as it came, for it may be anything', async (t) => {
  const redis = await throwAwayRedis(t)
  const app = await anApp(t, { redisUrl: redis.url, env })
  const body = Buffer.from('{"name-first": "Zoe"')
  t.match(await app.deliver({ body }), { status: 200, json: { reason: 'INVALID_JSON' } })
  t.strictSame(
    (await app.queued(1)).map((held) => Buffer.from(held.body).toString()),
    [body.toString()],
  )
})
