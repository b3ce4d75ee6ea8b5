import t from 'tap'
import { printHeading, printPairs, printTable } from '../../src/output/table.ts'
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
