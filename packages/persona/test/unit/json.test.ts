import { LosslessNumber } from 'lossless-json'
import t from 'tap'
import {
  hasDuplicateKeys,
  isJsonObject,
  type JsonObject,
  own,
  parseExact,
  parseStorable,
  storableText,
  stringifyExact,
} from '../../src/json.ts'
import { canonicalText } from '../../src/index.ts'

const NUMBERS = [
  '0',
  '-1',
  '9007199254740991',
  '9007199254740993',
  '12345678901234567890',
  '-12345678901234567890',
  '999999999999999999999999999999999999',
  '0.1',
  '96.1831512451172',
  '40.17246390312345678901234567890',
  '0.30000000000000004440892098500626',
  '1.0',
  '1.10',
  '-1.50',
  '100.00',
  '0.0',
  '-0',
  '-0.0',
  '0.000001',
  '0.0000001',
  '-0.00000012',
  '1e2',
  '1E2',
  '1e+2',
  '1.5e-7',
  '-0e0',
  '1e400',
  '1e-400',
  '123456789.123456',
]

t.test('every number keeps its digits', async (t) => {
  for (const number of NUMBERS) {
    for (const text of [`[${number}]`, `{"a":${number}}`, `[1,${number},2]`, `{"a":[{"b":${number}}],"c":1}`])
      t.equal(stringifyExact(parseExact(text)), text)
    t.equal(stringifyExact(parseExact(`[ \n${number}\t,\r ${number} ]`)), `[${number},${number}]`)
  }
})

t.test('a number that JavaScript spells as it came is a plain one', async (t) => {
  t.same(parseExact('[1,-2.5,1770112921]'), [1, -2.5, 1_770_112_921])
  t.same(parseExact('[1,12345678901234567890]'), [1, new LosslessNumber('12345678901234567890')])
})

t.test('digits inside texts and keys stay what they are', async (t) => {
  const text = String.raw`{"12345678901234567890":"1.0","a":":1e5,","b":"[-0]","c":["\"x\":1.50,"]}`
  t.equal(stringifyExact(parseExact(text)), text)
})

t.test('the exact parser takes and refuses the same texts as JSON.parse', async (t) => {
  for (const text of ['', '{', '[1e5', '[01]', '[1.]', '[.5]', '[1e]', '[+1]', '[-]', '[NaN]', '[1,]', '{"a":1e2,}'])
    t.throws(() => parseExact(text), SyntaxError, text)
  const text = String.raw`{"a":"\u0041\ud83d\ude00\ud800\/\b\f\n\r\t\\\"  ","n":1.0}`
  t.equal((parseExact(text) as JsonObject)['a'], (JSON.parse(text) as JsonObject)['a'])
})

t.test('an object that looks like a number of the parser is an object', async (t) => {
  const text = '{"isLosslessNumber":true,"value":"1","n":1.0}'
  t.ok(isJsonObject(parseExact(text)))
  t.equal(stringifyExact(parseExact(text)), text)
})

t.test('names that objects inherit are keys like any other', async (t) => {
  for (const number of ['1', '1.0']) {
    const text = `{"__proto__":{"a":${number}},"constructor":${number},"toJSON":${number}}`
    const value = parseExact(text) as JsonObject
    t.equal(stringifyExact(value), text)
    t.notOk(own(value, 'a'))
    t.notOk(own({}, 'constructor'))
    t.ok(own(value, 'constructor'))
    t.equal(parseStorable(text).isFaithful, true)
  }
})

t.test('of a key named twice the last counts, and the text is known to say more', async (t) => {
  const texts = {
    '{"a":1,"a":2}': '{"a":2}',
    '{"a":1.0,"a":2.0}': '{"a":2.0}',
    '{"a":{"x":1.0},"a":{}}': '{"a":{}}',
    '{"a":[],"a":{},"n":1.0}': '{"a":{},"n":1.0}',
    '{"a":1,"\\u0061":2}': '{"a":2}',
    '{"x":[{"b":{"a":1,"a":1}}]}': '{"x":[{"b":{"a":1}}]}',
    '{"__proto__":1,"__proto__":2}': '{"__proto__":2}',
  }
  for (const [text, expected] of Object.entries(texts)) {
    const json = parseStorable(text)
    t.equal(stringifyExact(json.value), expected, text)
    t.equal(json.isFaithful, false, text)
    t.equal(json.text, stringifyExact(json.value), 'the others are not stored')
  }
})

t.test('keys are counted where texts hold quotation marks, backslashes and colons', async (t) => {
  const texts = [
    String.raw`{"a":"\"b\":1","c\"":"\\","d":"\\\"a\":","e":":"}`,
    '{"a" : "x" , "b"\n:\t["c","d"]}',
    '[]',
    '"a"',
    '["a","a"]',
    '{"a":{"a":{"a":[{"a":"a"}]}}}',
    '{"":"","b":""}',
  ]
  for (const text of texts) t.equal(hasDuplicateKeys(text, JSON.parse(text) as JsonObject), false, text)
  const doubled = String.raw`{"c\"":"\\","c\"":":"}`
  t.equal(hasDuplicateKeys(doubled, JSON.parse(doubled) as JsonObject), true)
})

t.test('numbers that jsonb spells anew are known to say more, others are not', async (t) => {
  for (const number of ['-0', '-0.0', '-0.000', '1e2', '1E2', '-1.5e-7', '1e-7', '1e+21', '0e0'])
    for (const text of [`[${number}]`, `{"a":${number} }`, `[1,${number},2]`])
      t.equal(parseStorable(text).isFaithful, false, text)
  for (const number of ['0', '-1', '-0.5', '1.10', '0.0', '0.0000001', '12345678901234567000', '12345678901234567890'])
    t.equal(parseStorable(`[${number}]`).isFaithful, true, number)
})

t.test('NUL and lone surrogates become U+FFFD, in values and keys, and the text is known to say less', async (t) => {
  const texts = {
    '{"a":"x\\u0000y"}': '{"a":"x\ufffdy"}',
    '{"a\\u0000":1.0}': '{"a\ufffd":1.0}',
    '{"a":["\\ud800"]}': '{"a":["\ufffd"]}',
    '{"a":"\\uDC00\\uD83D"}': '{"a":"\ufffd\ufffd"}',
    '{"a":"\\ud83d\\u0041"}': '{"a":"\ufffdA"}',
    '{"a":"\\ud83d\\ud83d\\ude00"}': '{"a":"\ufffd😀"}',
  }
  for (const [text, expected] of Object.entries(texts)) {
    const json = parseStorable(text)
    t.equal(json.text, expected, text)
    t.equal(stringifyExact(json.value), expected, text)
    t.equal(json.isFaithful, false, text)
  }
})

t.test('pairs of surrogates, and texts that only look suspect, are left as they came', async (t) => {
  for (const text of [
    '{"a": "\\ud83d\\ude00"}',
    '{"a": "\\\\u0000"}',
    '{"a": "\\\\ud800", "b":1.0}',
    '{"a": "\ufffd"}',
  ]) {
    const json = parseStorable(text)
    t.equal(json.text, text)
    t.equal(json.isFaithful, true)
    t.same(JSON.parse(stringifyExact(json.value)), JSON.parse(text))
  }
})

t.test('a storable text differs from its text only where PostgreSQL would refuse it', async (t) => {
  t.equal(storableText('plain'), 'plain')
  t.equal(storableText('😀\u0001\uffff'), '😀\u0001\uffff')
  t.equal(storableText('\u0000😀\u0000'), '\ufffd😀\ufffd')
  t.equal(storableText('\ud800\u0000\udc00'), '\ufffd\ufffd\ufffd')
})

t.test('a NUL in the dropped value of a key named twice does not stay in the text', async (t) => {
  const { text, isFaithful } = parseStorable('{"odd":"\\u0000","odd":1}')
  t.equal(text, '{"odd":1}')
  t.notOk(isFaithful)
})

t.test('the order of keys and the space between make no difference, everything else does', async (t) => {
  const text = '{"b":[{"y":1,"x":null}],"a":{"2":"é","10":true}}'
  const same = ' { "a" : {"10": true, "2": "\\u00e9"}, "b": [ {"x":null, "y":1} ] }'
  t.equal(canonicalText(same), canonicalText(text))
  for (const other of ['{"b":[{"y":1}],"a":{"2":"é","10":true}}', '{"b":[{"y":2,"x":null}],"a":{"2":"é","10":true}}'])
    t.not(canonicalText(other), canonicalText(text))
  t.not(canonicalText('[1,2]'), canonicalText('[2,1]'))
})

t.test('numbers keep their digits, odd keys stay keys', async (t) => {
  const text = '{"__proto__":{"b":1,"a":2},"n":[12345678901234567890.10,1.50]}'
  t.equal(canonicalText(text), '{"__proto__":{"a":2,"b":1},"n":[12345678901234567890.10,1.50]}')
})
