import t from 'tap'
import { wholeNumber } from '../../src/runner/options.ts'

t.test('whole numbers are read strictly', async (t) => {
  t.equal(wholeNumber(1, 10)('10'), 10)
  for (const wrong of ['', '0', '11', '1.0', '1e1', '0x1', ' 1', '-1']) t.throws(() => wholeNumber(1, 10)(wrong))
})
