import t from 'tap'
import { AddressSet, readAddress } from '../../src/addresses.ts'

t.test('addresses and ranges of both families are found, their neighbours are not', async (t) => {
  const listed = new AddressSet(['35.232.44.140', '10.1.0.0/16', '2001:db8::/32', '::1'])
  for (const address of ['35.232.44.140', '10.1.255.255', '2001:db8:ffff::1', '2001:0db8:0:0::2', '::1']) {
    t.ok(listed.has(address), address)
  }
  for (const address of ['35.232.44.141', '10.2.0.0', '2001:db9::1', '::2', '127.0.0.1'])
    t.notOk(listed.has(address), address)
})

t.test('IPv4-mapped IPv6 addresses are IPv4 addresses, in the list and in the request', async (t) => {
  const listed = new AddressSet(['10.1.0.0/16', '::ffff:192.0.2.0/120'])
  for (const address of ['::ffff:10.1.2.3', '::FFFF:10.1.2.3', '::ffff:a01:203', '192.0.2.7', '::ffff:192.0.2.7']) {
    t.ok(listed.has(address), address)
  }
  for (const address of ['::ffff:10.2.2.3', '::10.1.2.3', '192.0.3.7']) t.notOk(listed.has(address), address)
})

t.test('a range of one family holds no address of the other', async (t) => {
  t.ok(new AddressSet(['0.0.0.0/0']).has('::ffff:203.0.113.9'))
  t.notOk(new AddressSet(['0.0.0.0/0']).has('2001:db8::1'))
  t.ok(new AddressSet(['::/0']).has('2001:db8::1'))
  t.notOk(new AddressSet(['::/0']).has('203.0.113.9'))
  t.ok(new AddressSet(['::ffff:0:0/96']).has('203.0.113.9'))
})

t.test('an address is read in every form that proxies write it', async (t) => {
  const forms = {
    '203.0.113.9': ['203.0.113.9', ' 203.0.113.9\t', '203.0.113.9:4711', '"203.0.113.9:4711"', '[203.0.113.9]:80'],
    '10.1.2.3': [
      '::ffff:10.1.2.3',
      '::FFFF:a01:203',
      '0:0:0:0:0:ffff:10.1.2.3',
      '[::ffff:10.1.2.3]:443',
      '::ffff:10.1.2.3:443',
    ],
    '2001:db8::1': [
      '2001:db8::1',
      '2001:DB8:0:0:0:0:0:1',
      '[2001:db8::1]',
      '[2001:db8::1]:4711',
      '"[2001:db8::1]:4711"',
    ],
    '2001:db8:0:21f:5bff:febf:ce22:8a2e': [
      '[2001:DB8::21f:5bff:febf:ce22:8a2e]:8080',
      '2001:db8:0:21f:5bff:febf:ce22:8a2e:8080',
    ],
    'fe80::1': ['fe80::1%eth0', '[fe80::1%25eth0]:80'],
    '127.0.0.1': ['unix:', 'unix:/run/gateway.sock', '127.0.0.1:0'],
  }
  for (const [address, texts] of Object.entries(forms))
    for (const text of texts) t.equal(readAddress(text), address, text)
})

t.test('what is no address is not listed and takes no time', async (t) => {
  const listed = new AddressSet(['0.0.0.0/0', '::/0'])
  const texts = [
    '',
    'unknown',
    '_hidden',
    '10.0.0',
    '010.0.0.1',
    '1.2.3.4:',
    '1.2.3.4:123456',
    '[1.2.3.4',
    'localhost',
    undefined,
  ]
  for (const text of texts) t.notOk(listed.has(text), String(text))
  for (const filler of ['1', '1.', ':', '[', '1.1.1.1:', ' '])
    t.notOk(listed.has(filler.repeat(1_000_000)), 'a long header is not searched')
})
