import { isLosslessNumber, type LosslessNumber } from 'lossless-json'
import { copyJson, isLeaf, type JsonObject, type JsonValue, newObject, own, setMember } from './json.ts'
import { numberText } from './numbers.ts'

/** The key inflection that a webhook is configured with. It changes keys only, never values. */
export type Casing = 'kebab' | 'camel' | 'snake'

/** Most keys recur in every event. The bound limits the memory that keys named by customers take. */
const MAX_CACHED_KEYS = 10_000
const MAX_CACHED_CHARACTERS = 100
const snakeKeys = { camel: new Map<string, string>(), kebab: new Map<string, string>() }

function snakeFromCamel(key: string): string {
  return key
    .replaceAll('-', '_')
    .replace(/([\p{Ll}\p{Lo}\p{N}])(\p{Lu})/gu, '$1_$2') // a capital begins a new word
    .replace(/(\p{Lu})(\p{Lu}\p{Ll})/gu, '$1_$2') // a run of capitals is one word: URLPath -> url_path
    .replace(/(\p{L})(\p{N})/gu, '$1_$2') // so does a digit after a letter
    .toLowerCase()
}

/** Turns a key into snake_case: `name-first`, `nameFirst` and `name_first` all become `name_first`. */
export function snakeCase(key: string, casing: Casing): string {
  if (casing === 'snake') return key.includes('-') ? key.replaceAll('-', '_') : key
  const known = snakeKeys[casing].get(key)
  if (known !== undefined) return known
  const snake = casing === 'camel' ? snakeFromCamel(key) : key.replaceAll('-', '_')
  if (key.length <= MAX_CACHED_CHARACTERS && snakeKeys[casing].size < MAX_CACHED_KEYS) snakeKeys[casing].set(key, snake)
  return snake
}

/**
 * Returns for each snake_case name the key of the object that counts. Several keys can become the same name; the
 * greatest counts, since jsonb keeps no order of keys. One pass serves objects with thousands of such keys.
 */
export function countingKeys(object: JsonObject, casing: Casing): ReadonlyMap<string, string> {
  const counting = new Map<string, string>()
  for (const key of Object.keys(object)) {
    const name = snakeCase(key, casing)
    const known = counting.get(name)
    if (known === undefined || key > known) counting.set(name, key)
  }
  return counting
}

type CopyMember = (value: JsonValue, name: string) => JsonValue

function fillRecased(source: JsonObject, target: JsonObject, casing: Casing, copyMember: CopyMember): void {
  // Computed on demand: two keys of one name are rare.
  let counting: ReadonlyMap<string, string> | null = null
  for (const key of Object.keys(source)) {
    const name = snakeCase(key, casing)
    if (Object.hasOwn(target, name)) {
      counting ??= countingKeys(source, casing)
      if (counting.get(name) !== key) continue
    }
    setMember(target, name, copyMember(source[key] as JsonValue, name))
  }
}

/** Copies an object with keys in snake_case; `copyMember` returns each value of the copy. */
export function recaseObject(object: JsonObject, casing: Casing, copyMember: CopyMember): JsonObject {
  const recased = newObject()
  fillRecased(object, recased, casing, copyMember)
  return recased
}

/** Far below the limit of the call stack, and above the depth of any event seen. */
const MAX_RECURSION = 100

/**
 * Copies a JSON value with the keys of all levels in snake_case. It recurses down to {@link MAX_RECURSION}, because
 * recursion is twice as fast as {@link copyJson} and every event needs it.
 */
export function recaseKeys(value: JsonValue, casing: Casing, depth = 0): JsonValue {
  if (isLeaf(value)) return value
  if (depth < MAX_RECURSION) {
    if (Array.isArray(value)) return value.map((item) => recaseKeys(item, casing, depth + 1))
    return recaseObject(value, casing, (item) => recaseKeys(item, casing, depth + 1))
  }
  return copyJson(value, casing, {
    leaf: (leaf) => leaf,
    fill: (source, target, copy) => fillRecased(source, target, casing, (member) => copy(member, casing)),
  })
}

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
 * Reads an ISO 8601 time with a zone as Unix milliseconds; a greater precision is cut, not rounded. Returns null where
 * the text is not such a time, has no zone, or lies outside the years 1 to 9999 in UTC. Never throws.
 */
export function parseTimestamp(text: string): number | null {
  const match = ISO_8601_WITH_ZONE.exec(text)
  if (match === null) return null
  const [, year, month, day, hour, minute, second = '0', fraction = '', zone = 'Z'] = match
  const offset = zoneMinutes(zone)
  if (offset === null || !isCalendarDay(Number(year), Number(month), Number(day))) return null
  // Second 60 is a leap second of ISO 8601. Unix time has none, so that it becomes second 59.
  if (Number(hour) > 23 || Number(minute) > 59 || Number(second) > 60) return null
  const milliseconds = Number(fraction.slice(0, 3).padEnd(3, '0'))
  const date = new Date(0)
  date.setUTCFullYear(Number(year), Number(month) - 1, Number(day))
  date.setUTCHours(Number(hour), Number(minute) - offset, Math.min(Number(second), 59), milliseconds)
  const time = date.getTime()
  return time < FIRST_YEAR_MS || time > LAST_YEAR_MS ? null : time
}

/** The column's value read from one attribute, and whether the attribute also stays in `attributes`. */
type Reading<T> = { readonly value: T; readonly stays: boolean }

/** Returns the text that a text column holds for a number or boolean. */
export function leafText(value: number | boolean | LosslessNumber): string {
  return typeof value === 'boolean' ? String(value) : numberText(String(value))
}

/** Returns the text that a text column holds for an attribute; null for an object, a list, null or undefined. */
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

function readTexts(value: JsonValue | undefined): Reading<readonly string[]> {
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
 * Reads an object's snake_case attributes into columns, and keeps the rest. A value that its column cannot hold (wrong
 * kind, unreadable date) stays in the rest, so that no information is lost.
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

  texts(key: string): readonly string[] {
    return this.#take(key, readTexts)
  }

  object(key: string, isRightKind: (value: JsonValue) => boolean): JsonValue | null {
    return this.#take(key, (value) => readKind(value, isRightKind))
  }

  /** Returns a copy of the attributes that no column holds. An object with deleted members would be slow to print. */
  rest(): JsonObject {
    const rest = newObject()
    for (const key of Object.keys(this.#attributes)) {
      if (!this.#taken.has(key)) setMember(rest, key, this.#attributes[key] as JsonValue)
    }
    return rest
  }
}
