/**
 * Why the worker gave an event up; quarantined bodies have reasons of their own (packages/persona). Stable codes, listed
 * in docs/errors.md.
 *
 * - `VALUE_REFUSED`: PostgreSQL refuses a value of the event (SQLSTATE class 22, 23 or 54); no retry changes that.
 * - `NUMBERS_TOO_LONG`: its numbers take more than 4,000,000 characters once their exponents are spelt out.
 * - `ATTEMPTS_EXHAUSTED`: failed MAX_ATTEMPTS times while other events passed.
 */
export const deadLetterReasons = ['VALUE_REFUSED', 'NUMBERS_TOO_LONG', 'ATTEMPTS_EXHAUSTED'] as const
export type DeadLetterReason = (typeof deadLetterReasons)[number]
