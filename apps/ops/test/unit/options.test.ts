import t from 'tap'
import { number, secretList, webhookUrl, wholeNumber } from '../../src/runner/options.ts'

t.test('the path of the webhook is added where it is missing', async (t) => {
  const cases = {
    'http://host:8080': 'http://host:8080/webhooks/persona',
    'http://host:8080/': 'http://host:8080/webhooks/persona',
    'https://host/webhooks/persona': 'https://host/webhooks/persona',
    'https://host/webhooks/persona/': 'https://host/webhooks/persona',
    'https://host/prefix/': 'https://host/prefix/webhooks/persona',
    'https://host/prefix/webhooks/persona?a=b': 'https://host/prefix/webhooks/persona?a=b',
  }
  for (const [told, expected] of Object.entries(cases)) t.equal(webhookUrl(told), expected)
})

t.test('numbers are read strictly', async (t) => {
  t.equal(wholeNumber(1, 10)('10'), 10)
  for (const wrong of ['', '0', '11', '1.0', '1e1', '0x1', ' 1', '-1']) t.throws(() => wholeNumber(1, 10)(wrong))
  t.equal(number(0)('0.25'), 0.25)
  for (const wrong of ['', '-1', '1e9', 'Infinity', 'NaN', '.5']) t.throws(() => number(0)(wrong))
})

t.test('secrets come as a list, repeated, or both', async (t) => {
  t.strictSame(secretList('c', secretList(' a , b,')), ['a', 'b', 'c'])
})
