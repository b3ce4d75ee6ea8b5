import t from 'tap'
import { recaseKeys, recaseObject, snakeCase } from '../../src/attributes.ts'
import { type JsonObject } from '../../src/json.ts'
import { plain } from '../model/event-document.ts'

t.test('kebab and snake keys only have their dashes turned into underscores', async (t) => {
  const keys = {
    'name-first': 'name_first',
    name_first: 'name_first',
    'address-street-1': 'address_street_1',
    address_street_1: 'address_street_1',
    nameFirst: 'nameFirst',
    street1: 'street1',
    URL: 'URL',
    '--a--': '__a__',
    'Straße-ÄÖ': 'Straße_ÄÖ',
    '': '',
  }
  for (const casing of ['kebab', 'snake'] as const)
    for (const [key, expected] of Object.entries(keys)) t.equal(snakeCase(key, casing), expected, `${casing} ${key}`)
})

t.test('in a camelCase body a capital, a run of capitals and a digit after a letter begin a word', async (t) => {
  const keys = {
    nameFirst: 'name_first',
    status: 'status',
    addressStreet1: 'address_street_1',
    addressStreet12: 'address_street_12',
    address2Line: 'address_2_line',
    createdAtTs: 'created_at_ts',
    ipAddress: 'ip_address',
    photoURL: 'photo_url',
    URLPath: 'url_path',
    userIPAddress: 'user_ip_address',
    HTTP2Proxy: 'http_2_proxy',
    sha256Hash: 'sha_256_hash',
    selfie2dCheck: 'selfie_2d_check',
    x1y2: 'x_1y_2',
    aB: 'a_b',
    A: 'a',
    NameFirst: 'name_first',
    größeÄnderung: 'größe_änderung',
    '': '',
  }
  for (const [key, expected] of Object.entries(keys)) t.equal(snakeCase(key, 'camel'), expected, key)
})

t.test('keys of a camelCase body that are snake_case or kebab-case already keep their words', async (t) => {
  for (const key of ['street_1', 'postal_code', 'name_first', '_private', 'a__b']) t.equal(snakeCase(key, 'camel'), key)
  t.equal(snakeCase('name-first', 'camel'), 'name_first')
})

t.test('a key is answered alike the second time', async (t) => {
  t.equal(snakeCase('answeredTwice1', 'camel'), 'answered_twice_1')
  t.equal(snakeCase('answeredTwice1', 'camel'), 'answered_twice_1')
  t.equal(snakeCase('answeredTwice1', 'kebab'), 'answeredTwice1')
})

t.test('keys are recased at every depth, values never', async (t) => {
  const value = { 'a-b': [{ 'c-d': { 'e-f': 'g-h' } }, [[{ 'i-j': null }]], 'k-l', 1, true, null] }
  t.same(plain(recaseKeys(value, 'kebab')), {
    a_b: [{ c_d: { e_f: 'g-h' } }, [[{ i_j: null }]], 'k-l', 1, true, null],
  })
  t.same(plain(recaseKeys({ aB: [{ cD1: 'eF' }] }, 'camel')), { a_b: [{ c_d_1: 'eF' }] })
})

t.test('of keys that become one name the greatest counts, whatever their order', async (t) => {
  const members = [
    ['name-first', 1],
    ['name_first', 2],
    ['other', 3],
  ] as const
  for (const order of [members, members.toReversed()])
    t.same(plain(recaseKeys(Object.fromEntries(order), 'kebab')), { name_first: 2, other: 3 })
  const three = [
    ['NameFirst', 1],
    ['nameFirst', 2],
    ['name_first', 3],
    ['name-first', 4],
  ] as const
  for (const order of [three, three.toReversed(), [three[2], three[0], three[3], three[1]]] as const)
    t.same(plain(recaseKeys(Object.fromEntries(order), 'camel')), { name_first: 3 })
})

t.test('collisions are settled at depth too', async (t) => {
  for (const text of ['{"x":{"a-b":1,"a_b":2}}', '{"x":{"a_b":2,"a-b":1}}'])
    t.same(plain(recaseKeys(JSON.parse(text) as JsonObject, 'kebab')), { x: { a_b: 2 } })
})

t.test('keys that objects inherit are keys like any other', async (t) => {
  const text = '{"__proto__":{"a-b":1},"constructor":2,"toString":3,"has-own-property":4,"hasOwnProperty":5}'
  const recased = recaseKeys(JSON.parse(text) as JsonObject, 'kebab') as JsonObject
  t.strictSame(Object.keys(recased).toSorted(), [
    '__proto__',
    'constructor',
    'hasOwnProperty',
    'has_own_property',
    'toString',
  ])
  t.same(plain(recased['__proto__']), { a_b: 1 })
  t.equal(({} as Record<string, unknown>)['a_b'], undefined, 'no prototype is touched')
})

t.test('values are copied by name', async (t) => {
  const copied = recaseObject({ 'a-b': 1, fields: { 'c-d': 2 } }, 'kebab', (value, name) =>
    name === 'fields' ? value : null,
  )
  t.same(plain(copied), { a_b: null, fields: { 'c-d': 2 } })
})
