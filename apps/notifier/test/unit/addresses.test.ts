import t from 'tap'
import { endpointFaults, isAllowed, policyOf } from '../../src/addresses.ts'

const PUBLIC = ['8.8.8.8', '1.1.1.1', '203.0.114.1', '2606:4700::1111', '2001:4860:4860::8888']
const PRIVATE = [
  '10.0.0.1',
  '172.16.0.1',
  '172.31.255.255',
  '192.168.1.1',
  '100.64.0.1',
  '169.254.169.254',
  'fc00::1',
  'fd12:3456::1',
  'fe80::1',
  '127.0.0.1',
  '127.1.2.3',
  '::1',
  '::ffff:10.0.0.1',
  '::ffff:127.0.0.1',
  '198.18.0.1',
]
/** No address of a host, or one that leads elsewhere than it says. */
const NEVER = ['0.0.0.0', '::', '224.0.0.1', '239.1.2.3', '255.255.255.255', 'ff02::1', '::ffff:0.0.0.0']
const TUNNELS = ['64:ff9b::7f00:1', '2002:7f00:1::', '2001:0:7f00:1::', '::7f00:1', '::ffff:8.8.8.8', '240.0.0.1', '192.0.2.1', '2001:db8::1'] // prettier-ignore

t.test('addresses of the internet alone are public', async (t) => {
  for (const address of PUBLIC) t.ok(isAllowed(address, 'public'), address)
  for (const address of [...PRIVATE, ...NEVER, ...TUNNELS, '', 'localhost'])
    t.notOk(isAllowed(address, 'public'), address)
})

t.test('where private addresses are allowed, those of no host are not', async (t) => {
  for (const address of [...PUBLIC, ...PRIVATE]) t.ok(isAllowed(address, 'any'), address)
  for (const address of NEVER) t.notOk(isAllowed(address, 'any'), address)
})

t.test('an endpoint on loopback leads to loopback alone', async (t) => {
  for (const address of ['127.0.0.1', '127.8.8.8', '::1']) t.ok(isAllowed(address, 'loopback'), address)
  for (const address of [...PUBLIC, '10.0.0.1', '::ffff:127.0.0.1', '0.0.0.0'])
    t.notOk(isAllowed(address, 'loopback'), address)
  for (const url of ['http://localhost:1', 'http://127.0.0.1', 'https://[::1]/', 'http://0x7f.1/', 'http://2130706433'])
    t.equal(policyOf(new URL(url), true), 'loopback', url)
  t.equal(policyOf(new URL('https://localhost.example'), false), 'public')
})

t.test('a URL has no faults, or all of them by name', async (t) => {
  const faultless = ['https://hooks.example/a?b=c', 'https://8.8.8.8', 'http://localhost:8080', 'http://127.0.0.1:1', 'https://[::1]'] // prettier-ignore
  for (const url of faultless) t.strictSame(endpointFaults(url, false), [], url)
  for (const address of [
    '10.0.0.1',
    '192.168.0.1',
    '169.254.169.254',
    '[fd00::1]',
    '[::ffff:127.0.0.1]',
    '0.0.0.0',
    '100.64.0.1',
    '0xa.1',
    '3232235521',
  ])
    // prettier-ignore
    t.match(endpointFaults(`https://${address}/`, false), [/NOTIFIER_ALLOW_PRIVATE/], address)
  t.match(endpointFaults('http://hooks.example', false), [/https/])
  t.equal(endpointFaults('http://10.0.0.1', false).length, 2)
  for (const url of ['http://10.0.0.1', 'http://app.default.svc:8080', 'https://[fd00::1]'])
    t.strictSame(endpointFaults(url, true), [], url)
  t.match(endpointFaults('http://0.0.0.0', true), [/address of a host/])
  t.equal(endpointFaults('https://user:password@hooks.example/#x', false).length, 2)
  for (const url of ['', 'hooks.example', 'ftp://hooks.example', 'https://'])
    t.equal(endpointFaults(url, true).length, 1, url)
})
