import t from 'tap'
import { spawnFixture } from '../fixtures/spawn.ts'

for (const signal of ['SIGTERM', 'SIGINT'] as const) {
  t.test(`${signal} shuts down gracefully and exits 0`, async (t) => {
    const fixture = spawnFixture(t, 'process-with-shutdown.ts', 'finishes', '5000')
    await fixture.said('up')
    fixture.child.kill(signal)
    t.equal(await fixture.code(), 0)
    t.match(JSON.parse(fixture.lines().at(-2)!), { msg: 'draining', signal, heldDeliveries: 3 })
    t.match(JSON.parse(fixture.lines().at(-1)!), { level: 'info', msg: 'drained' })
  })
}

t.test('a shutdown past its time limit exits 1 and logs what is in flight', async (t) => {
  const fixture = spawnFixture(t, 'process-with-shutdown.ts', 'hangs', '50')
  await fixture.said('up')
  fixture.child.kill('SIGTERM')
  t.equal(await fixture.code(), 1)
  const last = JSON.parse(fixture.lines().at(-1)!) as object
  t.match(last, { level: 'error', msg: /took too long/, timeoutMs: 50, heldDeliveries: 3 })
})

t.test('a second signal, of either kind, ends at once with 1', async (t) => {
  const fixture = spawnFixture(t, 'process-with-shutdown.ts', 'hangs', '60000')
  await fixture.said('up')
  fixture.child.kill('SIGTERM')
  await fixture.said('draining')
  fixture.child.kill('SIGINT')
  t.equal(await fixture.code(), 1)
  t.match(JSON.parse(fixture.lines().at(-1)!), { level: 'warn', signal: 'SIGINT', msg: /second signal/ })
})

t.test('a shutdown that fails exits 1 and does not quote the error', async (t) => {
  const fixture = spawnFixture(t, 'process-with-shutdown.ts', 'fails', '5000')
  await fixture.said('up')
  fixture.child.kill('SIGTERM')
  t.equal(await fixture.code(), 1)
  t.match(JSON.parse(fixture.lines().at(-1)!), { level: 'error', msg: 'drain failed', err: { type: 'Error' } })
  t.notMatch(fixture.lines().join(''), 'marked-value')
})
