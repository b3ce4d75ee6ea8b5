import t from 'tap'
import { addressAllowlist } from '../../src/delivery/address-allowlist.ts'

t.test('an empty list lets everything pass', async (t) => {
  t.ok(addressAllowlist([])('203.0.113.9'))
  t.ok(addressAllowlist([])('no address'))
})

t.test('addresses and ranges of both families are found, their neighbours are not', async (t) => {
  const isListed = addressAllowlist(['35.232.44.140', '10.1.0.0/16', '2001:db8::/32', '::1'])
  for (const address of ['35.232.44.140', '10.1.255.255', '2001:db8:ffff::1', '2001:0db8:0:0::2', '::1']) {
    t.ok(isListed(address), address)
  }
  for (const address of ['35.232.44.141', '10.2.0.0', '2001:db9::1', '::2', '127.0.0.1'])
    t.notOk(isListed(address), address)
})

t.test('IPv4-mapped IPv6 addresses are IPv4 addresses, in the list and in the request', async (t) => {
  const isListed = addressAllowlist(['10.1.0.0/16', '::ffff:192.0.2.0/120'])
  for (const address of ['::ffff:10.1.2.3', '::FFFF:10.1.2.3', '::ffff:a01:203', '192.0.2.7', '::ffff:192.0.2.7']) {
    t.ok(isListed(address), address)
  }
  for (const address of ['::ffff:10.2.2.3', '::10.1.2.3', '192.0.3.7']) t.notOk(isListed(address), address)
})

t.test('a zone does not matter, and what is no address is not listed', async (t) => {
  const isListed = addressAllowlist(['fe80::/10', '10.0.0.0/8'])
  t.ok(isListed('fe80::1%eth0'))
  for (const address of ['', 'unknown', '10.0.0.1:4711', '[fe80::1]', '10.0.0']) t.notOk(isListed(address), address)
})
