import fc from 'fast-check'
import t from 'tap'
import { parseTimestamp } from '../../src/attributes.ts'
import { propertyRuns } from '../model/property-runs.ts'

const FIRST_MS = Date.parse('0001-01-03T00:00:00Z')
const LAST_MS = Date.parse('9999-12-29T00:00:00Z')

t.test('a time is read alike in every zone and with every precision behind its milliseconds', async () => {
  fc.assert(
    fc.property(
      fc.integer({ min: FIRST_MS, max: LAST_MS }),
      fc.integer({ min: -23 * 60 - 59, max: 23 * 60 + 59 }),
      fc.stringMatching(/^[0-9]{0,9}$/),
      fc.constantFrom(':', ''),
      (time, offset, precision, colon) => {
        const local = new Date(time + offset * 60_000).toISOString().slice(0, -1)
        const [hours, minutes] = [Math.floor(Math.abs(offset) / 60), Math.abs(offset) % 60]
        const two = (number: number): string => String(number).padStart(2, '0')
        const text = `${local}${precision}${offset < 0 ? '-' : '+'}${two(hours)}${colon}${two(minutes)}`
        return parseTimestamp(text) === time && parseTimestamp(new Date(time).toISOString()) === time
      },
    ),
    propertyRuns(500),
  )
})

t.test('a day that the calendar lacks is never read as another one', async () => {
  const two = (number: number): string => String(number).padStart(2, '0')
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 9999 }),
      fc.integer({ min: 0, max: 13 }),
      fc.integer({ min: 0, max: 32 }),
      (year, month, day) => {
        const text = `${String(year).padStart(4, '0')}-${two(month)}-${two(day)}T12:00:00.000Z`
        const time = parseTimestamp(text)
        const roundTrip = new Date(Date.parse(text))
        const exists = !Number.isNaN(roundTrip.getTime()) && roundTrip.toISOString() === text
        return exists ? time === roundTrip.getTime() : time === null
      },
    ),
    propertyRuns(1000),
  )
})

t.test('no text makes the reader throw, and what it reads lies in the years 1 to 9999', async () => {
  const piece = fc.oneof(fc.constantFrom('2026', '-', '02', 'T', ':', '.', 'Z', '+', '0000', '9999'), fc.string())
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 14 }), (pieces) => {
      const time = parseTimestamp(pieces.join(''))
      return (
        time === null || (time >= Date.parse('0001-01-01T00:00:00Z') && time <= Date.parse('9999-12-31T23:59:59.999Z'))
      )
    }),
    propertyRuns(500),
  )
})
