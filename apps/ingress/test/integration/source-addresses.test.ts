import { throwAwayRedis } from '@persona-ingest/testkit'
import t, { type Test } from 'tap'
import { PRODUCTION_SECRET, SANDBOX_SECRET } from '../fixtures/a-delivery.ts'
import { anApp } from '../fixtures/an-app.ts'

const { url: redisUrl } = await throwAwayRedis(t)

async function anAllowlist(t: Test, env: Record<string, string>) {
  const listed = { IP_ALLOWLIST: '203.0.113.0/24,2001:db8::/32', PERSONA_SANDBOX_WEBHOOK_SECRETS: '' }
  const { deliver } = await anApp(t, { redisUrl, env: { ...listed, ...env } })
  // Not authentic: past the allowlist it is 401, whether Redis is in time or not.
  return async (forwarded: string | string[], remoteAddress = '127.0.0.1') =>
    (await deliver({ headers: { 'x-forwarded-for': forwarded }, remoteAddress, secrets: [SANDBOX_SECRET] })).status
}

t.test('addresses in the forms of Azure, AWS, nginx and Envoy are found in the allowlist', async (t) => {
  const statusOf = await anAllowlist(t, { TRUST_PROXY: 'loopback,10.0.0.0/8' })
  const listed = [
    '203.0.113.9:4711',
    '[2001:db8::1]:4711',
    '[2001:db8::1]',
    '::ffff:203.0.113.9',
    '203.0.113.9:4711, 10.0.0.1:80',
    '203.0.113.9, unix:',
    '198.51.100.1, 203.0.113.9, ::ffff:10.0.0.7, 127.0.0.1:8080',
  ]
  for (const forwarded of listed) {
    t.equal(await statusOf(forwarded), 401, forwarded)
    t.equal(await statusOf(forwarded, '::ffff:127.0.0.1'), 401, `${forwarded}, over a socket for both families`)
  }
  for (const forwarded of ['203.0.113.9, 198.51.100.1:4711', '[2001:db9::1]:4711', 'unix:', '203.0.113.9:', 'unknown'])
    t.equal(await statusOf(forwarded), 403, forwarded)
})

t.test('a client that no list of proxies holds is judged by its own address, whatever it forwards', async (t) => {
  const statusOf = await anAllowlist(t, { TRUST_PROXY: '10.0.0.0/8' })
  t.equal(await statusOf('203.0.113.9', '198.51.100.1'), 403)
  t.equal(await statusOf('203.0.113.9, unix:', '198.51.100.1'), 403)
  t.equal(await statusOf('198.51.100.1', '203.0.113.9'), 401)
})

t.test('a range of all addresses is taken, and warned of at start as true is', async (t) => {
  for (const TRUST_PROXY of ['0.0.0.0/0', '::/0,0.0.0.0/0', 'true', '1']) {
    const { deliver, lines } = await anApp(t, { redisUrl, env: { TRUST_PROXY, IP_ALLOWLIST: '203.0.113.9' } })
    const request = { headers: { 'x-forwarded-for': '203.0.113.9' }, secrets: ['wbhsec_of-another'] }
    t.equal((await deliver(request)).status, 401, TRUST_PROXY)
    t.match(
      lines.filter((line) => line.includes('"warn"') && line.includes('TRUST_PROXY')),
      { length: 1 },
      TRUST_PROXY,
    )
  }
  const { lines } = await anApp(t, { redisUrl, env: { TRUST_PROXY: '10.0.0.0/8,loopback' } })
  t.notMatch(lines.join(), 'TRUST_PROXY')
})

t.test('a secret unlike those of the provider is warned of by the name of its list', async (t) => {
  const encoded = Buffer.from(PRODUCTION_SECRET).toString('base64')
  const { lines } = await anApp(t, { redisUrl, env: { PERSONA_WEBHOOK_SECRETS: encoded } })
  const warnings = lines.filter((line) => line.includes('does not begin with wbhsec_'))
  t.equal(warnings.length, 1)
  t.match(warnings[0], '"variables":["PERSONA_WEBHOOK_SECRETS"]')
  t.notMatch(lines.join(), encoded)
})
