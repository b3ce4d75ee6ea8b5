import { anEvent, bodyOf } from '@persona-ingest/testkit/events'
import t from 'tap'
import { isBlocklistPattern, attributeFilter } from '../../src/attribute-filter.ts'

function body(attributes: object, included: readonly object[] = [], type = 'inquiry'): Buffer {
  return bodyOf(anEvent({ data: { type, id: 'inq_1', attributes }, included }))
}

type Attributes = Record<string, unknown>
function attributesAfter(blocklist: readonly string[], given: Buffer, dropsFileTokens = false): readonly Attributes[] {
  const reduced = attributeFilter({ blocklist, dropsFileTokens })(given)
  const { payload } = JSON.parse(Buffer.from(reduced).toString()).data.attributes
  return [payload.data, ...payload.included].map((object: { attributes: Attributes }) => object.attributes)
}

t.test('a key goes at every depth, in every object and whatever its case style', async (t) => {
  const given = body(
    {
      'name-first': 'A',
      nameLast: 'B',
      note: 'C',
      fields: { name_first: { value: 'A' }, color: 1 },
      list: [{ 'name-x': 1 }],
    },
    [{ type: 'verification/selfie', id: 'ver_1', attributes: { 'name-first': 'A', checks: [] } }],
  )
  t.strictSame(attributesAfter(['name-*'], given), [{ note: 'C', fields: { color: 1 }, list: [{}] }, { checks: [] }])
  t.strictSame(attributesAfter(['nameFirst'], given)[0], {
    nameLast: 'B',
    note: 'C',
    fields: { color: 1 },
    list: [{ 'name-x': 1 }],
  })
})

t.test('a path goes where it is, in objects of its type', async (t) => {
  const given = body({ name: 'A', fields: { name: 1, other: 2 } }, [
    { type: 'account', id: 'act_1', attributes: { fields: { name: 3 } } },
  ])
  t.strictSame(attributesAfter(['/data/attributes/fields/name?type=inquiry'], given), [
    { name: 'A', fields: { other: 2 } },
    { fields: { name: 3 } },
  ])
  t.strictSame(attributesAfter(['/data/attributes/fields/*'], given), [{ name: 'A', fields: {} }, { fields: {} }])
})

t.test('an exemption keeps what another pattern would take', async (t) => {
  t.strictSame(attributesAfter(['name-*', '!name-middle'], body({ 'name-first': 1, 'name-middle': 2 })), [
    { 'name-middle': 2 },
  ])
  t.strictSame(attributesAfter(['*', '!note'], body({ a: 1, note: 'C', status: 'approved', 'redacted-at': null })), [
    { note: 'C', status: 'approved', 'redacted-at': null },
  ])
})

t.test('the status of an object and its redaction always stay', async (t) => {
  t.strictSame(attributesAfter(['status', 'redacted-at'], body({ status: 'approved', redactedAt: 'x' })), [
    { status: 'approved', redactedAt: 'x' },
  ])
})

t.test('links to files lose their token and nothing else', async (t) => {
  const links = {
    'photo-url': 'https://files.example/x.jpg?access_token=T',
    urls: [{ url: 'https://files.example/y?a=1&access_token=T&b=2#c' }, 'https://files.example/z?access_token=T&b=2'],
    text: 'no token',
  }
  t.strictSame(attributesAfter([], body(links), true), [
    {
      'photo-url': 'https://files.example/x.jpg',
      urls: [{ url: 'https://files.example/y?a=1&b=2#c' }, 'https://files.example/z?b=2'],
      text: 'no token',
    },
  ])
})

t.test('the envelope, relationships and exact numbers stay', async (t) => {
  const text =
    '{"data":{"id":"evt_1","attributes":{"name":"n","payload":{"data":{"id":"i","type":"inquiry","attributes":' +
    '{"a":1e2,"big":12345678901234567890,"name":"x"},"relationships":{"name":{"data":null}}}}}}}'
  const without = Buffer.from(attributeFilter({ blocklist: ['name'], dropsFileTokens: false })(Buffer.from(text)))
  t.equal(without.toString(), text.replace(',"name":"x"', ''))
})

t.test('nothing stays between the lines: the first of two equal keys goes too', async (t) => {
  const twice = '{"data":{"attributes":{"payload":{"data":{"attributes":{"name":"A"},"attributes":{"b":1}}}}}}'
  const without = Buffer.from(attributeFilter({ blocklist: ['name'], dropsFileTokens: false })(Buffer.from(twice)))
  t.notMatch(without.toString(), /name/)
})

t.test('what is no JSON, and what is no event, stays as it is', async (t) => {
  const filter = attributeFilter({ blocklist: ['*'], dropsFileTokens: true })
  for (const text of ['no JSON', '', `${'['.repeat(100_000)}${']'.repeat(100_000)}`, '[1e200000]', '{"data":[]}'])
    t.strictSame(Buffer.from(filter(Buffer.from(text))).toString(), text)
})

t.test('what is blocked goes at any depth, and beside anything however deep', async (t) => {
  const given = (depth: number, inside: string) =>
    Buffer.from(
      body({ 'name-first': 'A', deep: 'HERE' })
        .toString()
        .replace('"HERE"', '[{"a":'.repeat(depth) + inside + '}]'.repeat(depth)),
    )
  for (const depth of [10, 900, 3_000, 100_000]) {
    const text = '{"name-first":"B","kept":1.0,"url":"https://x.example/?access_token=T"}'
    const left = attributeFilter({ blocklist: ['name-first'], dropsFileTokens: true })(given(depth, text))
    const expected = given(depth, '{"kept":1.0,"url":"https://x.example/"}').toString()
    t.equal(Buffer.from(left).toString(), expected.replace('"name-first":"A",', ''))
  }
})

t.test('a wildcard stands for any text, line breaks too', async (t) => {
  const given = body({ 'name-a\nb': 1, 'a-1-b-2-c': 1, 'ab-c': 2, abc: 3, other: 4 })
  t.strictSame(attributesAfter(['name-*', 'a-*-b-*-c'], given), [{ 'ab-c': 2, abc: 3, other: 4 }])
  t.strictSame(attributesAfter(['a*b*', '!*-c'], body({ ab: 1, ba: 2, aab: 3, 'ab-c': 4 })), [{ ba: 2, 'ab-c': 4 }])
  t.strictSame(attributesAfter(['aba*aba'], body({ aba: 1, abaaba: 2, abacaba: 3 })), [{ aba: 1 }])
})

t.test('by default the bytes are not even looked at', async (t) => {
  const given = Buffer.from(' {} ')
  t.equal(attributeFilter({ blocklist: [], dropsFileTokens: false })(given), given)
})

t.test('what is a pattern and what is not', async (t) => {
  for (const pattern of [
    'name-*',
    '*',
    '!note',
    '/data/attributes/fields/name-*?type=inquiry',
    'x?type=verification/*',
  ])
    t.ok(isBlocklistPattern(pattern), pattern)
  for (const text of ['', '!', 'a b', '/fields/x', '/data/attributes/', 'a/b', 'x?type=', '$x', '(a+)+'])
    t.notOk(isBlocklistPattern(text), text)
})
