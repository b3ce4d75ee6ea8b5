import t from 'tap'
import { marksIn } from '../../src/index.ts'

t.test('a mark is found in every spelling, wherever it begins', async (t) => {
  const mark = 'Marked-Zoë/1'
  for (const before of ['', 'a', 'ab', 'abc']) {
    const text = Buffer.from(`${before}${mark} and more`)
    for (const spelt of [
      text.toString(),
      text.toString().toLowerCase(),
      encodeURIComponent(text.toString()),
      text.toString('hex'),
      text.toString('base64'),
    ])
      t.strictSame(marksIn(`x ${spelt} x`, ['other', mark]), [mark], spelt)
  }
  t.strictSame(marksIn(Buffer.from('Marked-Zoe/1').toString('base64'), [mark]), [])
})
