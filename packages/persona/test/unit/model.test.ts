import t from 'tap'
import { jsonbText } from '../model/canonical.ts'

t.test('the model of jsonb prints numbers as PostgreSQL does', async (t) => {
  const numbers = {
    '1e2': '100',
    '1.50e1': '15.0',
    '1e-2': '0.01',
    '1.5e-2': '0.015',
    '12.5e0': '12.5',
    '-0': '0',
    '-0.0': '0.0',
    '-0e-3': '0.000',
    '-1.10': '-1.10',
    '123E+3': '123000',
    '0.5e1': '5',
    '0.0000001': '0.0000001',
  }
  for (const [spelt, expected] of Object.entries(numbers)) t.equal(jsonbText(`[${spelt}]`), `[${expected}]`, spelt)
  t.equal(jsonbText('{"bb":1,"a":2,"a":3,"é":4}'), '{"a":3,"bb":1,"é":4}')
})
