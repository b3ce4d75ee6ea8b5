import { startRedis, type RedisOptions, type RedisServer } from './redis-server.ts'
import type { TestScope } from './test-scope.ts'

/** Starts an empty Redis for one test or test file (`t` of tap); it ends, and its data goes, with that test. */
export async function throwAwayRedis(t: TestScope, options: Omit<RedisOptions, 'dir'> = {}): Promise<RedisServer> {
  const server = await startRedis(options)
  t.teardown(() => server.stop())
  return server
}
