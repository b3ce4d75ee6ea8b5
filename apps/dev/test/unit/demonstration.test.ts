import t from 'tap'
import { changesText, textTable } from '../../src/demonstration.ts'

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

t.test('a change is told by ids, version and statuses alone', async (t) => {
  const ids = { object_id: 'inq_1', inquiry_id: 'inq_1', event_id: 'evt_1' }
  const states = { family: 'inquiry' as const, cause: 'event', status: 'created', previous_status: null }
  const change = { ...ids, ...states, seq: 1n, version: 1n, changed_at: new Date(0) }
  const next = { ...change, version: 2n, event_id: 'evt_2', status: 'approved', previous_status: 'created' }
  const lines = changesText([change, next]).split('\n')
  t.match(lines[0], 'the first 2 changes of inquiries:')
  t.strictSame(lines.slice(2), [
    'inquiry  version  status              cause  event',
    '-------  -------  ------------------  -----  -----',
    'inq_1    1        created             event  evt_1',
    'inq_1    2        created → approved  event  evt_2',
  ])
})
