import { isUniqueViolation, sqlStateOf } from './failure.ts'

/** PI001 is our own word that what was read is no longer so; an event id stored meanwhile says the same. */
export function isOutdated(error: unknown): boolean {
  return sqlStateOf(error) === 'PI001' || isUniqueViolation(error, 'events')
}
