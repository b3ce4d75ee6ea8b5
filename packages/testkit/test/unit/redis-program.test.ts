import t from 'tap'
import { dependencies } from '../../src/redis-program.ts'

t.test('groups alternatives and passes over everything that is not a dependency', async (t) => {
  const listing = `redis-tools
  PreDepends: init-system-helpers
  Depends: libc6
 |Depends: libssl3t64
 |Depends: libssl3
  Depends: libssl4
  Depends: libsystemd0
    libelogind0
  Breaks: redis-server
  Suggests: ruby-redis
`
  t.same(dependencies(listing), [
    ['init-system-helpers'],
    ['libc6'],
    ['libssl3t64', 'libssl3', 'libssl4'],
    ['libsystemd0'],
  ])
})
