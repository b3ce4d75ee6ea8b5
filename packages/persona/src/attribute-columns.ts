import { isLosslessNumber, type LosslessNumber } from 'lossless-json'
import { newObject, own, setMember, type JsonObject, type JsonValue } from './json.ts'
import { numberText } from './numbers.ts'
import { parseTimestamp } from './timestamp.ts'

/** What reading one attribute for a column gives: the column's value, and whether the attribute stays as well. */
type Reading<T> = { readonly value: T; readonly stays: boolean }

/** What a text column holds of a number or boolean. */
export function leafText(value: number | boolean | LosslessNumber): string {
  return typeof value === 'boolean' ? String(value) : numberText(String(value))
}

/** An attribute's text, as a text column would hold it; null for what it would not. */
export function attributeText(value: JsonValue | undefined): string | null {
  return readText(value).value
}

function readText(value: JsonValue | undefined): Reading<string | null> {
  if (value === undefined || value === null) return { value: null, stays: false }
  if (typeof value === 'string') return { value, stays: false }
  if (typeof value === 'object' && !isLosslessNumber(value)) return { value: null, stays: true }
  return { value: leafText(value), stays: false }
}

function readTime(value: JsonValue | undefined): Reading<number | null> {
  if (value === undefined || value === null) return { value: null, stays: false }
  const time = typeof value === 'string' ? parseTimestamp(value) : null
  return { value: time, stays: time === null }
}

function readStatus(value: JsonValue | undefined): Reading<string | null> {
  if (typeof value === 'string') return { value: value === '' ? null : value, stays: false }
  return { value: null, stays: value !== undefined && value !== null }
}

function readTags(value: JsonValue | undefined): Reading<readonly string[]> {
  if (value === undefined || value === null) return { value: [], stays: false }
  if (!Array.isArray(value)) return { value: [], stays: true }
  const readings = value.map(readText)
  return {
    value: readings.flatMap((reading) => (reading.value === null ? [] : [reading.value])),
    stays: readings.some((reading) => reading.stays),
  }
}

function readKind(value: JsonValue | undefined, isRightKind: (value: JsonValue) => boolean): Reading<JsonValue | null> {
  if (value === undefined || value === null) return { value: null, stays: false }
  return isRightKind(value) ? { value, stays: false } : { value: null, stays: true }
}

/**
 * Takes the attributes that have a column of their own out of an object's snake_case attributes. What a column can't
 * hold (a wrong kind, an unreadable date) stays, so that nothing told is lost.
 */
export class AttributeColumns {
  readonly #attributes: JsonObject
  readonly #taken = new Set<string>()

  constructor(attributes: JsonObject) {
    this.#attributes = attributes
  }

  #take<T>(key: string, read: (value: JsonValue | undefined) => Reading<T>): T {
    const reading = read(own(this.#attributes, key))
    if (!reading.stays) this.#taken.add(key)
    return reading.value
  }

  text(key: string): string | null {
    return this.#take(key, readText)
  }

  /** Unix milliseconds. */
  time(key: string): number | null {
    return this.#take(key, readTime)
  }

  status(): string | null {
    return this.#take('status', readStatus)
  }

  tags(): readonly string[] {
    return this.#take('tags', readTags)
  }

  object(key: string, isRightKind: (value: JsonValue) => boolean): JsonValue | null {
    return this.#take(key, (value) => readKind(value, isRightKind))
  }

  /** What no column has taken so far. A copy: an object that members were deleted from is slow to read and to write. */
  rest(): JsonObject {
    const rest = newObject()
    for (const key of Object.keys(this.#attributes)) {
      if (!this.#taken.has(key)) setMember(rest, key, this.#attributes[key] as JsonValue)
    }
    return rest
  }
}
