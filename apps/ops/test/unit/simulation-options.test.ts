import t from 'tap'
import { number, secretList, webhookUrl } from '../../src/runner/simulation-options.ts'

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
  t.equal(number(0)('0.25'), 0.25)
  for (const wrong of ['', '-1', '1e9', 'Infinity', 'NaN', '.5']) t.throws(() => number(0)(wrong))
})

t.test('secrets come as a list, repeated, or both', async (t) => {
  t.strictSame(secretList('c', secretList(' a , b,')), ['a', 'b', 'c'])
})
