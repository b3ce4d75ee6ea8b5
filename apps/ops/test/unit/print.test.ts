import { parseExact } from '@persona-ingest/persona'
import t from 'tap'
import { documentLines, printHeading, printJson, printPairs, printTable } from '../../src/output/print.ts'
import { captureOutput } from '../fixtures/captured-output.ts'

t.test('a table stands in columns without lines, and ends no line with blanks', async (t) => {
  const output = captureOutput()
  printTable(
    output,
    ['id', 'status', 'at'],
    [
      ['inq_1', 'approved', new Date(0)],
      ['inq_222', null, undefined],
    ],
  )
  t.equal(
    output.stdout(),
    ['id       status    at', 'inq_1    approved  1970-01-01T00:00:00.000Z', 'inq_222  -         -', ''].join('\n'),
  )
})

t.test('pairs stand one a line, falsy values too', async (t) => {
  const output = captureOutput()
  printPairs(output, [
    ['a', 0],
    ['long', false],
    ['b', null],
    ['c', ''],
  ])
  t.equal(output.stdout(), 'a     0\nlong  false\nb     -\nc\n')
})

t.test('no pairs print nothing', async (t) => {
  const output = captureOutput()
  printPairs(output, [])
  t.equal(output.stdout(), '')
})

t.test('stored text cannot move the cursor of a terminal, nor begin a line of its own', async (t) => {
  const output = captureOutput()
  const hostile = 'a\u001b[2Jb\nc\u009bd\u202ee'
  printTable(output, ['x'], [[hostile]])
  printPairs(output, [[hostile, hostile]])
  printHeading(output, hostile)
  for (const control of ['\u001b', '\u009b', '\u202e']) t.notOk(output.stdout().includes(control))
  t.match(output.stdout(), 'a\\u001b[2Jb\\u000ac\\u009bd\\u202ee')
})

t.test('wide characters keep the columns straight', async (t) => {
  const output = captureOutput()
  printTable(
    output,
    ['name', 'x'],
    [
      ['花子', 1],
      ['abcd', 2],
    ],
  )
  t.equal(output.stdout(), 'name  x\n花子  1\nabcd  2\n')
})

t.test('colours stand on a terminal only, and nowhere where they are unwanted', async (t) => {
  const shown = (options: object) => {
    const output = captureOutput(options)
    printTable(output, ['id'], [[null]])
    return output.stdout()
  }
  t.match(shown({ isTTY: true }), '\u001b[1mid')
  t.notMatch(shown({ isTTY: true, color: false }), '\u001b')
  t.notMatch(shown({ isTTY: false }), '\u001b')
})

t.test('rows above 10,000 stand in tables of their own, since the library limits the rows of one', async (t) => {
  const output = captureOutput()
  const rows = Array.from({ length: 10_001 }, (_, index) => [index])
  printTable(output, ['id'], rows)
  const lines = output.stdout().split('\n')
  t.equal(lines.filter((line) => line === 'id').length, 2, 'a head for each table')
  t.equal(lines.filter((line) => /^\d+$/.test(line)).length, rows.length)
})

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

t.test('characters that show nothing are escaped, and the document stays the same', async (t) => {
  const hidden = {
    'zero-width space': '\u200b',
    'zero-width joiner': '\u200d',
    'byte order mark': '\ufeff',
    'word joiner': '\u2060',
    'soft hyphen': '\u00ad',
    'Hangul filler': '\u3164',
    'variation selector': '\ufe0f',
    'annotation anchor': '\ufff9',
    'right-to-left override': '\u202e',
    'tag letter': '\u{e0041}',
    'language tag': '\u{e0001}',
    'variation selector of the supplement': '\u{e0100}',
    'half of a surrogate pair': '\ud83d',
  }
  for (const [name, character] of Object.entries(hidden)) {
    const output = captureOutput()
    const document = { text: `Jo${character}hn` }
    printJson(output, document)
    t.notOk(output.stdout().includes(character), name)
    t.match(output.stdout(), /Jo(\\u[0-9a-f]{4}){1,2}hn/, name)
    t.same(JSON.parse(output.stdout()), document, name)
  }
  const output = captureOutput()
  printJson(output, { text: 'Zoë Łukasz 山田 محمد 😀' })
  t.equal(output.stdout(), '{"text":"Zoë Łukasz 山田 محمد 😀"}\n', 'what shows is left as it is')
})

t.test('a document that is nested deeply stands on one line', async (t) => {
  for (const depth of [1, 100, 199, 2_000, 8_000, 50_000]) {
    t.equal(documentLines(parseExact(`${'['.repeat(depth)}"x"${']'.repeat(depth)}`)).length, 1)
  }
})
