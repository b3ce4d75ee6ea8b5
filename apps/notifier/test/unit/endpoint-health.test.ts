import t from 'tap'
import { EndpointHealth } from '../../src/endpoint-health.ts'

const failing = (times: number): EndpointHealth => {
  const health = new EndpointHealth()
  for (let failures = 0; failures < times; failures += 1) health.noteFailed()
  return health
}

t.test('few objects are tried while fifty requests in a row have failed', async (t) => {
  t.strictSame([failing(49).isDead, failing(49).limit(900)], [false, 900])
  t.strictSame([failing(50).isDead, failing(50).limit(900), failing(50).limit(3)], [true, 10, 3])
})

t.test('one answer ends it', async (t) => {
  const health = failing(80)
  health.noteSent()
  t.strictSame([health.isDead, health.limit(900)], [false, 900])
})
