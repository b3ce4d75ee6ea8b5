import t from 'tap'
import { documentLines, printJson } from '../../src/json-document.ts'
import { captureOutput } from '../fixtures/captured-output.ts'

t.test('a document is printed on one line, times in milliseconds, characters of control escaped', async (t) => {
  const output = captureOutput()
  printJson(output, { at: new Date(1), text: 'a\u001b\u009b\u2028b', none: null })
  t.equal(output.stdout(), '{"at":"1970-01-01T00:00:00.001Z","text":"a\\u001b\\u009b\\u2028b","none":null}\n')
  t.strictSame(JSON.parse(output.stdout()), {
    at: '1970-01-01T00:00:00.001Z',
    text: 'a\u001b\u009b\u2028b',
    none: null,
  })
})

t.test('a document is split into lines down to parts that are short', async (t) => {
  const long = 'x'.repeat(100)
  t.strictSame(documentLines({ a: { b: 1 }, list: [{ long }, 2], empty: {} }), [
    ['a', '{"b":1}'],
    ['list[0].long', `"${long}"`],
    ['list[1]', '2'],
    ['empty', '{}'],
  ])
  t.strictSame(documentLines([], 'tags'), [['tags', '[]']])
  t.strictSame(documentLines(null, 'checks'), [['checks', 'null']])
})
