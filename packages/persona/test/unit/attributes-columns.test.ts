import t from 'tap'
import { AttributeColumns } from '../../src/attributes.ts'
import { isJsonObject, type JsonObject, parseExact } from '../../src/json.ts'
import { plain } from '../model/event-document.ts'

/** What a column takes of an attribute given as JSON text, `x` by default, and whether it stays among the rest. */
function take(text: string | undefined, read: (columns: AttributeColumns) => unknown, key = 'x') {
  const attributes = (text === undefined ? {} : parseExact(`{"${key}":${text},"y":1}`)) as JsonObject
  const given = { ...attributes }
  const columns = new AttributeColumns(attributes)
  const value = read(columns)
  const { [key]: left, ...others } = columns.rest()
  t.same(attributes, given, 'what was given is left as it was')
  t.same(Object.keys(others), text === undefined ? [] : ['y'], 'what no column takes stays')
  return { value, stays: left !== undefined }
}

t.test('a text column holds texts, and numbers and booleans as their JSON text', async (t) => {
  const text = (json: string | undefined) => take(json, (columns) => columns.text('x'))
  t.strictSame(text(undefined), { value: null, stays: false })
  t.strictSame(text('null'), { value: null, stays: false })
  t.strictSame(text('""'), { value: '', stays: false })
  t.strictSame(text('"tenant-7::user-42"'), { value: 'tenant-7::user-42', stays: false })
  t.strictSame(text('true'), { value: 'true', stays: false })
  t.strictSame(text('false'), { value: 'false', stays: false })
  for (const number of ['0', '-1', '1.10', '1.0', '12345678901234567890', '0.0000001', '0.1'])
    t.strictSame(text(number), { value: number, stays: false }, number)
  for (const wrong of ['{}', '[]', '["a"]', '{"value":"a"}'])
    t.strictSame(text(wrong), { value: null, stays: true }, wrong)
})

t.test('a text column holds a number as jsonb prints it, whatever its spelling', async (t) => {
  const spellings = {
    '1e2': '100',
    '1E2': '100',
    '1e+2': '100',
    '-0': '0',
    '-0.00': '0.00',
    '-0e5': '0',
    '0e-3': '0.000',
    '100e-2': '1.00',
    '0.1e1': '1',
    '0.01e1': '0.1',
    '1.50e1': '15.0',
    '-1.5e-7': '-0.00000015',
    '1e-7': '0.0000001',
    '1e+21': '1000000000000000000000',
    '9007199254740993e1': '90071992547409930',
    '1e400': `1${'0'.repeat(400)}`,
    '1e-400': `0.${'0'.repeat(399)}1`,
  }
  for (const [number, expected] of Object.entries(spellings))
    t.strictSame(
      take(number, (columns) => columns.text('x')),
      { value: expected, stays: false },
      number,
    )
  t.strictSame(
    take('["a",1e2,-0]', (columns) => columns.texts('tags'), 'tags'),
    { value: ['a', '100', '0'], stays: false },
  )
  t.equal(take('1e999999999', (columns) => columns.text('x')).value, '1e999999999', 'PostgreSQL refuses it anyway')
})

t.test('a time column holds readable times, and leaves every other thing where it is', async (t) => {
  const time = (json: string | undefined) => take(json, (columns) => columns.time('x'))
  t.strictSame(time('"2026-02-03T10:06:21.7399Z"'), { value: Date.parse('2026-02-03T10:06:21.739Z'), stays: false })
  t.strictSame(time(undefined), { value: null, stays: false })
  t.strictSame(time('null'), { value: null, stays: false })
  for (const wrong of ['""', '"2026-02-03"', '"soon"', '1770112921', '1.0', 'true', '{}', '[]'])
    t.strictSame(time(wrong), { value: null, stays: true }, wrong)
})

t.test('a status is a text that is not empty', async (t) => {
  const status = (json: string) => take(json, (columns) => columns.status(), 'status')
  t.strictSame(status('"approved"'), { value: 'approved', stays: false })
  t.strictSame(status('""'), { value: null, stays: false })
  t.strictSame(status('null'), { value: null, stays: false })
  for (const wrong of ['5', '1.0', 'true', '{}', '[]']) t.strictSame(status(wrong), { value: null, stays: true }, wrong)
})

t.test('tags are a list of texts; nulls are left out, and what is no text stays in the attributes', async (t) => {
  const tags = (json: string) => take(json, (columns) => columns.texts('tags'), 'tags')
  t.strictSame(tags('["A","",null,"A"]'), { value: ['A', '', 'A'], stays: false })
  t.strictSame(tags('[null]'), { value: [], stays: false })
  t.strictSame(tags('[5,true,1.0,12345678901234567890]'), {
    value: ['5', 'true', '1.0', '12345678901234567890'],
    stays: false,
  })
  t.strictSame(tags('null'), { value: [], stays: false })
  t.strictSame(tags('["A",{"name":"B"},["C"]]'), { value: ['A'], stays: true })
  for (const wrong of ['"A"', '{}', '5', 'true', '1.0']) t.strictSame(tags(wrong), { value: [], stays: true }, wrong)
  t.strictSame(new AttributeColumns({}).texts('tags'), [])
})

t.test('a document column holds the right kind only', async (t) => {
  const object = (json: string | undefined) => take(json, (columns) => plain(columns.object('x', isJsonObject)))
  t.strictSame(object('{"a":1}'), { value: { a: 1 }, stays: false })
  t.strictSame(object('null'), { value: null, stays: false })
  t.strictSame(object(undefined), { value: null, stays: false })
  for (const wrong of ['[]', '"a"', '5', '1.0', 'true'])
    t.strictSame(object(wrong), { value: null, stays: true }, wrong)
})

t.test('inherited names are no attributes', async (t) => {
  t.equal(new AttributeColumns({}).text('constructor'), null)
})
