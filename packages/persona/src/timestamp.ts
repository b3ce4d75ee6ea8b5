const ISO_8601_WITH_ZONE =
  /^(\d{4})-(\d{2})-(\d{2})T(\d{2}):(\d{2})(?::(\d{2})(?:[.,](\d+))?)?(Z|[+-]\d{2}(?::?\d{2})?)$/i

const DAYS_IN_MONTH = [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]

function isLeapYear(year: number): boolean {
  return (year % 4 === 0 && year % 100 !== 0) || year % 400 === 0
}

function isCalendarDay(year: number, month: number, day: number): boolean {
  const days = DAYS_IN_MONTH[month - 1]
  if (days === undefined || day < 1) return false
  return day <= (month === 2 && !isLeapYear(year) ? 28 : days)
}

/** `Z`, `+09`, `+0900` or `+09:00` in minutes east of UTC; null where hours or minutes are out of range. */
function zoneMinutes(zone: string): number | null {
  if (zone.toUpperCase() === 'Z') return 0
  const hours = Number(zone.slice(1, 3))
  const minutes = Number(zone.slice(3).replace(':', '') || '0')
  if (hours > 23 || minutes > 59) return null
  return (zone.startsWith('-') ? -1 : 1) * (hours * 60 + minutes)
}

const FIRST_YEAR_MS = Date.UTC(2000, 0, 1) - 63_082_281_600_000 // 0001-01-01T00:00:00Z: PostgreSQL has no year 0
const LAST_YEAR_MS = Date.UTC(9999, 11, 31, 23, 59, 59, 999)

/**
 * Reads an ISO 8601 time with a zone as Unix milliseconds; a greater precision is cut, not rounded.
 * Null where the text is no such time, has no zone, or lies outside the years 1 to 9999 in UTC. Never throws.
 */
export function parseTimestamp(text: string): number | null {
  const match = ISO_8601_WITH_ZONE.exec(text)
  if (match === null) return null
  const [, year, month, day, hour, minute, second = '0', fraction = '', zone = 'Z'] = match
  const offset = zoneMinutes(zone)
  if (offset === null || !isCalendarDay(Number(year), Number(month), Number(day))) return null
  // 60 is a leap second: ISO 8601 allows it, Unix time has none, so it counts as the last one of its minute.
  if (Number(hour) > 23 || Number(minute) > 59 || Number(second) > 60) return null
  const milliseconds = Number(fraction.slice(0, 3).padEnd(3, '0'))
  const date = new Date(0)
  date.setUTCFullYear(Number(year), Number(month) - 1, Number(day))
  date.setUTCHours(Number(hour), Number(minute) - offset, Math.min(Number(second), 59), milliseconds)
  const time = date.getTime()
  return time < FIRST_YEAR_MS || time > LAST_YEAR_MS ? null : time
}
