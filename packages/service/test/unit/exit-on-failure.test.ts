import t from 'tap'
import { spawnFixture } from '../fixtures/spawn.ts'

for (const manner of ['throws', 'rejects', 'rejects-at-start']) {
  t.test(`a process that ${manner} logs fatal without quoting and exits 1`, async (t) => {
    const fixture = spawnFixture(t, 'failing-process.ts', manner)
    t.equal(await fixture.code(), 1)
    t.match(JSON.parse(fixture.lines().at(-1)!), { level: 'fatal', msg: 'uncaught error, ending' })
    t.notMatch(fixture.lines().join('') + fixture.stderr(), 'marked')
  })
}

t.test('an invalid environment is told on stderr, every fault by name, and exits 1', async (t) => {
  const fixture = spawnFixture(t, 'failing-process.ts', 'invalid-env')
  t.equal(await fixture.code(), 1)
  const faults = '  REDIS_URL: missing\n  PORT: expected a port, 0 to 65535\n'
  t.equal(fixture.stderr(), `2 faults in the environment:\n${faults}`)
  t.same(fixture.lines(), [])
})
