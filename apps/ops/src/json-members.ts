/** A JSON object: neither a list, nor a date, nor an exact number, which have classes of their own. */
export type Members = Readonly<Record<string, unknown>>

export function isMembers(value: unknown): value is Members {
  if (typeof value !== 'object' || value === null) return false
  const prototype: unknown = Object.getPrototypeOf(value)
  return prototype === Object.prototype || prototype === null
}
