import { QueueUnavailableError } from '@persona-ingest/queue'
import t from 'tap'
import { Pacer, retryWhileUnavailable } from '../../src/pace.ts'

t.test('jobs pass evenly at the rate', async (t) => {
  const pacer = new Pacer(100)
  const startedAtMs = performance.now()
  for (let passed = 0; passed < 3; passed += 1) await pacer.pass(10)
  const tookMs = performance.now() - startedAtMs
  t.ok(tookMs >= 195, `20 jobs at 100 a second took ${tookMs} ms before the last ten`)
})

t.test('a portion is a tenth of a second, at least 1 and at most the given number', async (t) => {
  t.equal(new Pacer(4).portion(100), 1)
  t.equal(new Pacer(200).portion(100), 20)
  t.equal(new Pacer(100_000).portion(100), 100)
})

t.test('a call is repeated while the queue is unavailable, and no other failure is', async (t) => {
  let calls = 0
  const answer = await retryWhileUnavailable(async () => {
    calls += 1
    if (calls === 1) throw new QueueUnavailableError('QUEUE_UNREACHABLE')
    return 'here'
  })
  t.strictSame([answer, calls], ['here', 2])
  await t.rejects(
    retryWhileUnavailable(async () => {
      throw new TypeError('other')
    }),
    TypeError,
  )
})
