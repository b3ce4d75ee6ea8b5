import t from 'tap'
import { parseTimestamp } from '../../src/attributes.ts'

const iso = (text: string): string | null => {
  const time = parseTimestamp(text)
  return time === null ? null : new Date(time).toISOString()
}

t.test('times with a zone are read as UTC', async (t) => {
  const times = {
    '2026-02-03T10:06:21.739Z': '2026-02-03T10:06:21.739Z',
    '2026-02-03T10:06:21Z': '2026-02-03T10:06:21.000Z',
    '2026-02-03T10:06Z': '2026-02-03T10:06:00.000Z',
    '2026-02-03t10:06:21.7z': '2026-02-03T10:06:21.700Z',
    '2026-02-03T10:06:21,73Z': '2026-02-03T10:06:21.730Z',
    '2026-02-03T19:06:21.739+09:00': '2026-02-03T10:06:21.739Z',
    '2026-02-03T19:06:21.739+0900': '2026-02-03T10:06:21.739Z',
    '2026-02-03T19:06:21.739+09': '2026-02-03T10:06:21.739Z',
    '2026-02-03T15:51:21.739+05:45': '2026-02-03T10:06:21.739Z',
    '2026-02-03T06:36:21.739-03:30': '2026-02-03T10:06:21.739Z',
    '2026-02-03T10:06:21.739-00:00': '2026-02-03T10:06:21.739Z',
    '2026-01-01T00:30:00.000+01:00': '2025-12-31T23:30:00.000Z',
    '2025-12-31T23:30:00.000-01:00': '2026-01-01T00:30:00.000Z',
  }
  for (const [text, expected] of Object.entries(times)) t.equal(iso(text), expected, text)
})

t.test('a greater precision is cut, not rounded', async (t) => {
  t.equal(iso('2026-02-03T10:06:21.7399999Z'), '2026-02-03T10:06:21.739Z')
  t.equal(iso('2026-02-03T23:59:59.9999Z'), '2026-02-03T23:59:59.999Z')
  t.equal(iso('2026-02-03T10:06:21.0009Z'), '2026-02-03T10:06:21.000Z')
  t.equal(iso(`2026-02-03T10:06:21.${'9'.repeat(400)}Z`), '2026-02-03T10:06:21.999Z')
  t.equal(iso('1969-12-31T23:59:59.9999Z'), '1969-12-31T23:59:59.999Z', 'before 1970 too')
})

t.test('a 29th of February is read in leap years only', async (t) => {
  for (const year of ['2024', '2000', '2400']) t.equal(iso(`${year}-02-29T00:00:00Z`), `${year}-02-29T00:00:00.000Z`)
  for (const year of ['2025', '2026', '1900', '2100']) t.equal(iso(`${year}-02-29T00:00:00Z`), null, year)
})

t.test('days, hours and zones that do not exist are not read', async (t) => {
  const texts = [
    '2026-00-10T00:00:00Z',
    '2026-13-10T00:00:00Z',
    '2026-01-00T00:00:00Z',
    '2026-01-32T00:00:00Z',
    '2026-02-30T00:00:00Z',
    '2026-04-31T00:00:00Z',
    '2026-06-31T00:00:00Z',
    '2026-09-31T00:00:00Z',
    '2026-11-31T00:00:00Z',
    '2026-01-10T24:00:00Z',
    '2026-01-10T25:00:00Z',
    '2026-01-10T00:60:00Z',
    '2026-01-10T00:00:61Z',
    '2026-01-10T00:00:00+24:00',
    '2026-01-10T00:00:00+01:60',
  ]
  for (const text of texts) t.equal(parseTimestamp(text), null, text)
})

t.test('the last day of every month is read', async (t) => {
  for (const day of ['01-31', '03-31', '04-30', '05-31', '06-30', '07-31', '08-31', '09-30', '10-31', '11-30', '12-31'])
    t.equal(iso(`2026-${day}T12:00:00Z`), `2026-${day}T12:00:00.000Z`)
})

t.test('a leap second counts as the last second of its minute', async (t) => {
  t.equal(iso('2016-12-31T23:59:60Z'), '2016-12-31T23:59:59.000Z')
})

t.test('a time without a zone, and what is no ISO 8601 time, is not read', async (t) => {
  const texts = [
    '',
    ' ',
    '2026-02-03',
    '2026-02-03T10:06:21.739',
    '2026-02-03 10:06:21.739Z',
    '2026-02-03T10:06:21.739 Z',
    ' 2026-02-03T10:06:21.739Z',
    '2026-02-03T10:06:21.739Z\n',
    '2026-02-03T10:06:21.739UTC',
    '2026-02-03T10:06:21.739Z[Europe/Paris]',
    '2026-02-03T10:06:21.Z',
    '2026-02-03T10Z',
    '2026-2-3T10:06:21Z',
    '26-02-03T10:06:21Z',
    '+002026-02-03T10:06:21Z',
    '-2026-02-03T10:06:21Z',
    '1770112921',
    '1770112921739',
    'Tue, 03 Feb 2026 10:06:21 GMT',
    '２０２６-02-03T10:06:21Z',
    'now',
    'infinity',
  ]
  for (const text of texts) t.equal(parseTimestamp(text), null, JSON.stringify(text))
})

t.test('years are read from 1 to 9999 in UTC', async (t) => {
  t.equal(iso('0001-01-01T00:00:00Z'), '0001-01-01T00:00:00.000Z')
  t.equal(iso('0099-06-01T00:00:00Z'), '0099-06-01T00:00:00.000Z', 'not in the twentieth century')
  t.equal(iso('9999-12-31T23:59:59.999Z'), '9999-12-31T23:59:59.999Z')
  t.equal(parseTimestamp('0000-12-31T23:59:59Z'), null)
  t.equal(parseTimestamp('0001-01-01T00:00:00+00:01'), null)
  t.equal(iso('0000-12-31T23:30:00-01:00'), '0001-01-01T00:30:00.000Z')
  t.equal(parseTimestamp('9999-12-31T23:59:59-00:01'), null)
})
