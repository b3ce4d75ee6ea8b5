import t from 'tap'
import { textTable } from '../../src/demonstration.ts'

t.test('columns are as wide as their widest cell and lines have no blanks at the end', async (t) => {
  const table = textTable([
    ['inquiry', 'status'],
    ['inq_longer', 'approved'],
    ['inq_1', '-'],
  ])
  t.equal(table, ['inquiry     status', '----------  --------', 'inq_longer  approved', 'inq_1       -'].join('\n'))
})

t.test('a table without rows is its head', async (t) => {
  t.equal(textTable([['id']]), 'id\n--')
})
