import { setTimeout } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { createLogger } from '@persona-ingest/service'
import type { QueueDurability } from '@persona-ingest/queue'
import { eventually } from '@persona-ingest/testkit'
import { watchDurability } from '../../src/deliveries/enqueue.ts'

const safe = { appendonly: 'yes', appendfsync: 'always', maxmemoryPolicy: 'noeviction' }

async function warningsOf(t: Test, answer: QueueDurability | null): Promise<Record<string, unknown>[]> {
  const lines: string[] = []
  const logger = createLogger({ app: 'probe', level: 'info', destination: { write: (line) => void lines.push(line) } })
  t.teardown(watchDurability({ producer: { durability: async () => answer }, logger }))
  await new Promise((resolve) => setImmediate(resolve))
  return lines.map((line) => JSON.parse(line) as Record<string, unknown>)
}

t.test('durable settings give no warning', async (t) => {
  t.same(await warningsOf(t, safe), [])
})

t.test('each setting that may lose events is named with what is expected', async (t) => {
  const wrong = { appendonly: 'no', appendfsync: 'everysec', maxmemoryPolicy: 'allkeys-lru' }
  for (const name of Object.keys(safe) as (keyof typeof safe)[]) {
    const warnings = await warningsOf(t, { ...safe, [name]: wrong[name] })
    t.match(warnings, [{ level: 'warn', found: { [name]: wrong[name] }, expected: { [name]: safe[name] } }])
    t.same(Object.keys(warnings[0]?.['expected'] as object), [name])
  }
})

t.test('a Redis that does not tell gives a warning too', async (t) => {
  t.match(await warningsOf(t, null), [{ level: 'warn', msg: /make sure/, ...safe }])
})

t.test('an outage is no answer: it asks again until it has one, then no more', async (t) => {
  const lines: string[] = []
  const logger = createLogger({ app: 'probe', level: 'info', destination: { write: (line) => void lines.push(line) } })
  let asked = 0
  const durability = async () => {
    asked += 1
    if (asked < 3) throw new Error('away')
    return { ...safe, appendonly: 'no' }
  }
  t.teardown(watchDurability({ producer: { durability }, logger, retryMs: 1 }))
  await eventually(() => lines.length === 1)
  t.equal(asked, 3)
})

t.test('stopped, it asks no more', async (t) => {
  let asked = 0
  const durability = async () => {
    asked += 1
    throw new Error('away')
  }
  const logger = createLogger({ app: 'probe', level: 'silent' })
  const stop = watchDurability({ producer: { durability }, logger, retryMs: 1 })
  stop()
  await setTimeout(20)
  t.equal(asked, 1)
})
