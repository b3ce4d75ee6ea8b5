import t from 'tap'
import { parseInquiryCursor } from '../../src/reads/list-inquiries.ts'

const cursorOf = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url')
const LAST_MS = Date.parse('9999-12-31T23:59:59.999Z')

t.test('a cursor that was printed once is read for good', async (t) => {
  t.strictSame(parseInquiryCursor('WzE3NzAxMTI4MDAwMDcsMywiZXZ0XzEiLCJpbnFfMSJd'), {
    eventCreatedAt: new Date(1_770_112_800_007),
    eventRank: 3,
    eventId: 'evt_1',
    id: 'inq_1',
  })
})

t.test('the cursor of an inquiry that is known by reference has an id alone', async (t) => {
  const none = { eventCreatedAt: null, eventRank: null, eventId: null }
  t.strictSame(parseInquiryCursor('W251bGwsbnVsbCxudWxsLCJpbnFfMSJd'), { ...none, id: 'inq_1' })
})

t.test('a cursor holds any time and rank that the table can hold', async (t) => {
  for (const [time, rank] of [[0, 0], [LAST_MS, 32_767]] as const) // prettier-ignore
    t.match(parseInquiryCursor(cursorOf([time, rank, 'é花😀', ''])), { eventCreatedAt: new Date(time), eventRank: rank, id: '' }) // prettier-ignore
})

t.test('anything that PostgreSQL would refuse, or that is no cursor, is null', async (t) => {
  const values: readonly unknown[] = [
    null,
    {},
    'inq_1',
    [],
    [1, 2, 'evt_1'],
    [1, 2, 'evt_1', 'inq_1', 5],
    [1, 2, 'evt_1', 5],
    [1, 2, 'evt_1', null],
    [1, 2, 'evt_1', 'a\u0000b'],
    [1, 2, 'a\u0000b', 'inq_1'],
    [1, 2, null, 'inq_1'],
    [1, null, 'evt_1', 'inq_1'],
    [null, 2, 'evt_1', 'inq_1'],
    [null, null, 'evt_1', 'inq_1'],
    [-1, 2, 'evt_1', 'inq_1'],
    [1.5, 2, 'evt_1', 'inq_1'],
    ['1', 2, 'evt_1', 'inq_1'],
    [LAST_MS + 1, 2, 'evt_1', 'inq_1'],
    [1, -1, 'evt_1', 'inq_1'],
    [1, 0.5, 'evt_1', 'inq_1'],
    [1, 32_768, 'evt_1', 'inq_1'],
  ]
  for (const value of values) t.equal(parseInquiryCursor(cursorOf(value)), null, JSON.stringify(value))
  for (const text of ['', 'inq_1', '????', cursorOf([1, 2, 'evt_1', 'inq_1']).slice(0, -3)])
    t.equal(parseInquiryCursor(text), null, text)
})
