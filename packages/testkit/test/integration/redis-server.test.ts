import { access } from 'node:fs/promises'
import t from 'tap'
import { eventually, isPortFree, startRedis, throwAwayRedis } from '@persona-ingest/testkit'

t.test('runs as durable as production needs it', async (t) => {
  const redis = await throwAwayRedis(t)
  t.same(await redis.command('CONFIG', 'GET', 'appendonly'), ['appendonly', 'yes'])
  t.same(await redis.command('CONFIG', 'GET', 'appendfsync'), ['appendfsync', 'always'])
  t.same(await redis.command('CONFIG', 'GET', 'maxmemory-policy'), ['maxmemory-policy', 'noeviction'])
  t.same(await redis.command('CONFIG', 'GET', 'bind'), ['bind', '127.0.0.1'])
  t.equal(redis.url, `redis://127.0.0.1:${redis.port}`)
})

t.test('a confirmed write survives a kill and a restart on the same port', async (t) => {
  const redis = await throwAwayRedis(t)
  const firstPid = redis.pid
  t.equal(await redis.command('SET', 'name', 'Zoë\r\n'), 'OK')
  await redis.kill()
  t.throws(() => redis.pid, { message: 'Redis is not running' })
  await t.rejects(redis.command('PING'), { code: 'ECONNREFUSED' })
  await redis.restart()
  t.not(redis.pid, firstPid)
  t.equal(await redis.command('GET', 'name'), 'Zoë\r\n')
})

t.test('frozen it accepts connections and does not answer; thawed it goes on', async (t) => {
  const redis = await throwAwayRedis(t)
  await redis.freeze()
  const answer = redis.command('INCR', 'counter')
  const first = await Promise.race([answer, new Promise((resolve) => setTimeout(resolve, 100, 'silence'))])
  t.equal(first, 'silence')
  await redis.thaw()
  t.equal(await answer, 1)
})

t.test('a frozen server can be killed, stopped and restarted', async (t) => {
  const redis = await throwAwayRedis(t)
  await redis.freeze()
  await redis.kill()
  await redis.restart()
  await redis.freeze()
  await redis.restart()
  t.equal(await redis.command('PING'), 'PONG')
  await redis.freeze()
})

t.test('arguments of the caller win over the defaults', async (t) => {
  const redis = await throwAwayRedis(t, { args: ['--maxmemory', '50mb', '--appendfsync', 'everysec'] })
  t.same(await redis.command('CONFIG', 'GET', 'maxmemory'), ['maxmemory', '52428800'])
  t.same(await redis.command('CONFIG', 'GET', 'appendfsync'), ['appendfsync', 'everysec'])
})

t.test('an error answer is thrown and every kind of answer is read', async (t) => {
  const redis = await throwAwayRedis(t)
  await t.rejects(redis.command('NO-SUCH-COMMAND'), { message: /^Redis answered: ERR unknown command/ })
  t.equal(await redis.command('GET', 'absent'), null)
  t.equal(await redis.command('RPUSH', 'list', 1, ''), 2)
  t.same(await redis.command('LRANGE', 'list', 0, -1), ['1', ''])
  const long = 'ä'.repeat(300_000)
  await redis.command('SET', 'long', long)
  t.equal(await redis.command('GET', 'long'), long)
})

t.test('a given folder keeps its data beyond stop, and has one owner at a time', async (t) => {
  const dir = t.testdir()
  const first = await startRedis({ dir })
  t.teardown(() => first.stop())
  await first.command('SET', 'key', 'kept')
  await t.rejects(startRedis({ dir }), { name: 'LockHeldError' })
  await first.stop()
  t.equal(await isPortFree(first.port), true)
  const second = await startRedis({ dir, port: first.port })
  t.teardown(() => second.stop())
  t.equal(await second.command('GET', 'key'), 'kept')
})

t.test('a throw-away folder goes with its server', async (t) => {
  const redis = await startRedis()
  t.teardown(() => redis.stop())
  await access(redis.dir)
  await redis.stop()
  await t.rejects(access(redis.dir), { code: 'ENOENT' })
})

t.test('a port that is taken is told with the log of the server', async (t) => {
  const redis = await throwAwayRedis(t)
  const error = await startRedis({ port: redis.port }).catch((error: unknown) => error)
  t.match(error, { message: /^Redis did not start; the end of its log:\n[^]*Address already in use/ })
  await eventually(() => redis.command('PING'))
})
