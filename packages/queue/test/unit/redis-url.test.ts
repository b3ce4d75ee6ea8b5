import t from 'tap'
import { readRedisUrl } from '../../src/redis-url.ts'

const plain = { host: 'cache', port: 6379, db: 0, tls: false, username: null, password: null, family: 0 }

t.test('a URL is read into explicit options', async (t) => {
  const cases: Record<string, object> = {
    'redis://cache': plain,
    'redis://cache/': plain,
    'redis://cache:6380/5': { ...plain, port: 6380, db: 5 },
    'rediss://cache': { ...plain, tls: true },
    'REDISS://cache': { ...plain, tls: true },
    'redis://10.0.0.1:1/15': { ...plain, host: '10.0.0.1', port: 1, db: 15 },
    'redis://[::1]:6380/2': { ...plain, host: '::1', port: 6380, db: 2 },
    'redis://[2001:db8::7]': { ...plain, host: '2001:db8::7' },
    'redis://:pass@cache': { ...plain, password: 'pass' },
    'redis://:@cache': plain,
    'redis://anni:pass@cache': { ...plain, username: 'anni', password: 'pass' },
    'redis://anni@cache': { ...plain, username: 'anni', password: '' },
    'redis://anni:p%40ss%3A%2Fw%25rd@cache': { ...plain, username: 'anni', password: 'p@ss:/w%rd' },
    'redis://a%3Anni:p:ss@cache': { ...plain, username: 'a:nni', password: 'p:ss' },
    'redis://anni:p@ss@cache': { ...plain, username: 'anni', password: 'p@ss' },
    'redis://:pässwört@cache': { ...plain, password: 'pässwört' },
    'redis://cache?family=6': { ...plain, family: 6 },
    'redis://my-redis.default.svc.cluster.local.:6379': { ...plain, host: 'my-redis.default.svc.cluster.local.' },
  }
  for (const [url, expected] of Object.entries(cases)) t.strictSame(readRedisUrl(url), expected, url)
})

t.test('a URL that the driver would read otherwise, or not at all, is refused without a word of it', async (t) => {
  const cases: Record<string, RegExp> = {
    cache: /begins with redis/,
    'http://cache': /begins with redis/,
    'redis:cache': /begins with redis/,
    'redis:/cache': /begins with redis/,
    '/run/redis.sock': /begins with redis/,
    'redis://': /expected a host/,
    'redis:///0': /expected a host/,
    'redis://:6379': /expected a host/,
    'redis://anni:marked@': /expected a host/,
    'redis://mar ked': /without blanks/,
    'redis://:mar\tked@cache': /without blanks/,
    'redis://:mar\nked@cache': /without blanks/,
    'redis://mar%6bed': /expected a host/,
    'redis://::1:6379': /in brackets/,
    'redis://[marked]': /in brackets/,
    'redis://cache:': /expected a port/,
    'redis://cache:0': /expected a port/,
    'redis://cache:65536': /expected a port/,
    'redis://cache:marked': /expected a port/,
    'redis://cache:1,marked:2': /one host/,
    'redis://cache/zero': /number of a database/,
    'redis://cache/-1': /number of a database/,
    'redis://cache/1.5': /number of a database/,
    'redis://cache/5/6': /number of a database/,
    'redis://cache/5/': /number of a database/,
    'redis://cache/4294967297': /number of a database/,
    'redis://cache?keyPrefix=marked': /no parameters/,
    'redis://cache?maxRetriesPerRequest=5': /no parameters/,
    'redis://cache?db=5': /no parameters/,
    'redis://cache?family=5': /no parameters/,
    'redis://cache?family=4&family=6': /no parameters/,
    'redis://cache?__proto__=marked': /no parameters/,
    'redis://cache#marked': /after a #/,
    'redis://:mar%ked@cache': /written as %25/,
    'redis://marked%:pass@cache': /written as %25/,
    'redis://:mark%e4d@cache': /written as %25/,
    'redis://:mar/ked@cache': /%2F %3F and %23/,
    'redis://:mar?ked@cache': /%2F %3F and %23/,
    'redis://:mar#ked@cache': /%2F %3F and %23/,
    'redis://marked:12/3@cache': /%2F %3F and %23/,
    'redis://marked:12#3@cache:6379/0': /%2F %3F and %23/,
  }
  for (const [url, expected] of Object.entries(cases)) {
    const read = readRedisUrl(url)
    t.match(read, { faults: [expected] }, url)
    t.notMatch(JSON.stringify(read), /marked|ked|keyPrefix|maxRetries/, url)
  }
})

t.test('all faults of a URL are told at once', async (t) => {
  t.match(readRedisUrl('redis://anni:100%@:0/zero?keyPrefix=marked#x'), {
    faults: [/every %/, /a host/, /number of a database/, /no parameters/, /after a #/],
  })
})
