import t from 'tap'
import { documentLines, printJson } from '../../src/output/json-document.ts'
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
