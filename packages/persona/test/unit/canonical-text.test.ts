import t from 'tap'
import { canonicalText } from '../../src/index.ts'

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
