import { isLosslessNumber, type LosslessNumber } from 'lossless-json'
import { DIGITS_MARK, endOfString, ExactNumber, judgeNumbers, markNumbers, spelledOutLength } from './numbers.ts'

export type JsonObject = { [key: string]: JsonValue }
/** A parsed JSON value. A number that JavaScript would round or print differently is a `LosslessNumber`. */
export type JsonValue = null | boolean | number | string | LosslessNumber | JsonValue[] | JsonObject

/** Returns an empty object. Fill it with {@link setMember}, which keeps a key such as `__proto__` a key. */
export function newObject(): JsonObject {
  return {}
}

/** Adds a member of any name. Plain objects are several times faster to fill and print than objects without prototype. */
export function setMember(object: JsonObject, name: string, value: JsonValue): void {
  if (name !== '__proto__') object[name] = value
  else Object.defineProperty(object, name, { value, enumerable: true, configurable: true, writable: true })
}

/** True for an object (not an array, not a number, not null). */
export function isJsonObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !isLosslessNumber(value)
}

/** Returns the value of an own key, else undefined. Inherited names such as `constructor` are not keys. */
export function own(object: JsonObject, key: string): JsonValue | undefined {
  return Object.hasOwn(object, key) ? object[key] : undefined
}

/** Tells whether a value has no members: it is text, number, boolean or null. */
export function isLeaf(value: JsonValue): value is Exclude<JsonValue, JsonObject | JsonValue[]> {
  return value === null || typeof value !== 'object' || isLosslessNumber(value)
}

/** Rules of a copy by {@link copyJson}. `Context` passes from an object to its members. */
export type CopyRules<Context> = {
  readonly leaf: (value: JsonValue) => JsonValue
  /** Sets the members of an object's copy; `copy` gives the copy of a member. */
  readonly fill: (
    source: JsonObject,
    target: JsonObject,
    copy: (value: JsonValue, context: Context) => JsonValue,
    context: Context,
  ) => void
}

/**
 * Copies a value of any depth. The copy uses a list instead of recursion, because an older version stored documents
 * that are nested more deeply than the call stack allows.
 */
export function copyJson<Context>(value: JsonValue, context: Context, { leaf, fill }: CopyRules<Context>): JsonValue {
  const sources: (JsonObject | JsonValue[])[] = []
  const targets: (JsonObject | JsonValue[])[] = []
  const contexts: Context[] = []
  const copy = (member: JsonValue, memberContext: Context): JsonValue => {
    if (isLeaf(member)) return leaf(member)
    const target = Array.isArray(member) ? [] : newObject()
    sources.push(member)
    targets.push(target)
    contexts.push(memberContext)
    return target
  }
  const copied = copy(value, context)
  for (let source = sources.pop(); source !== undefined; source = sources.pop()) {
    const target = targets.pop() as JsonObject | JsonValue[]
    const own = contexts.pop() as Context
    if (Array.isArray(source)) for (const item of source) (target as JsonValue[]).push(copy(item, own))
    else fill(source, target as JsonObject, copy, own)
  }
  return copied
}

function copyMembers(
  source: JsonObject,
  target: JsonObject,
  copy: (value: JsonValue, context: null) => JsonValue,
): void {
  for (const key of Object.keys(source)) setMember(target, key, copy(source[key] as JsonValue, null))
}

/**
 * Parses a text that holds inexact numbers. `JSON.parse` reads any depth; parsers that keep digits recurse and overflow
 * the call stack.
 */
function parseLossless(text: string): JsonValue {
  const leaf = (value: JsonValue): JsonValue =>
    typeof value === 'string' && value.startsWith(DIGITS_MARK)
      ? new ExactNumber(value.slice(DIGITS_MARK.length))
      : value
  return copyJson(JSON.parse(markNumbers(text)) as JsonValue, null, { leaf, fill: copyMembers })
}

/** Parses JSON so that every number keeps its digits. Throws a `SyntaxError` where the text is not JSON. */
export function parseExact(text: string): JsonValue {
  const rounded = JSON.parse(text) as JsonValue
  return judgeNumbers(text).areExact ? rounded : parseLossless(text)
}

/** Prints a value of any depth. `JSON.stringify` recurses, and fails above a few thousand levels. */
function writeDeep(value: JsonValue): string {
  const parts: string[] = []
  const open: { source: JsonObject | JsonValue[]; keys: readonly string[] | null; at: number }[] = []
  const begin = (member: JsonValue): void => {
    // Rows that `ops` prints hold dates.
    if (isLeaf(member) || member instanceof Date) return void parts.push(JSON.stringify(member))
    const source = member
    const keys = Array.isArray(source) ? null : Object.keys(source)
    parts.push(keys === null ? '[' : '{')
    open.push({ source, keys, at: 0 })
  }
  begin(value)
  for (let top = open.at(-1); top !== undefined; top = open.at(-1)) {
    const { source, keys, at } = top
    if (at === (keys ?? (source as JsonValue[])).length) {
      parts.push(keys === null ? ']' : '}')
      open.pop()
      continue
    }
    top.at += 1
    if (at > 0) parts.push(',')
    if (keys !== null) parts.push(`${JSON.stringify(keys[at])}:`)
    begin((keys === null ? (source as JsonValue[])[at] : (source as JsonObject)[keys[at] as string]) as JsonValue)
  }
  return parts.join('')
}

function write(value: JsonValue): string {
  try {
    return JSON.stringify(value)
  } catch {
    return writeDeep(value)
  }
}

const MARKED_DIGITS = new RegExp(`"${DIGITS_MARK}([^"]*)"`, 'g')

/** Returns the JSON text of a value that {@link parseExact} made; numbers keep their digits. */
export function stringifyExact(value: JsonValue): string {
  const text = write(value)
  return text.includes(DIGITS_MARK) ? text.replace(MARKED_DIGITS, '$1') : text
}

function fillInOrder(
  source: JsonObject,
  target: JsonObject,
  copy: (value: JsonValue, context: null) => JsonValue,
): void {
  for (const key of Object.keys(source).toSorted()) setMember(target, key, copy(source[key] as JsonValue, null))
}

const asIs = (value: JsonValue): JsonValue => value

/** Returns one text for all JSON texts of the same value: keys sorted, no blanks. Throws a `SyntaxError`. */
export function canonicalText(text: string): string {
  return stringifyExact(copyJson(parseExact(text), null, { leaf: asIs, fill: fillInOrder }))
}

/** Counts the members of all objects in a value. */
function countMembers(value: JsonValue): number {
  let members = 0
  const pending: JsonValue[] = [value]
  for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
    if (isLeaf(next)) continue
    const inside = Object.values(next)
    if (!Array.isArray(next)) members += inside.length
    for (const member of inside) if (!isLeaf(member)) pending.push(member)
  }
  return members
}

/** Counts the keys in a valid JSON text: strings with a colon behind them. */
function countKeys(text: string): number {
  let keys = 0
  for (let open = text.indexOf('"'); open !== -1;) {
    let next = endOfString(text, open) + 1
    while (text.charCodeAt(next) <= 0x20) next += 1
    if (text[next] === ':') keys += 1
    open = text.indexOf('"', next)
  }
  return keys
}

/**
 * Tells whether an object of the text has the same key twice. A parser keeps the last one only, so the text holds more
 * than its value. `value` is the parsed text.
 */
export function hasDuplicateKeys(text: string, value: JsonValue): boolean {
  return countKeys(text) !== countMembers(value)
}

const ESCAPED_SUSPECT = /\\u(?:0000|d[89a-f])/i

/** Replaces NUL and lone surrogates, which PostgreSQL's text and jsonb refuse, by U+FFFD. */
export function storableText(text: string): string {
  return text.includes('\u0000') ? text.replaceAll('\u0000', '\ufffd').toWellFormed() : text.toWellFormed()
}

function storableValue(value: JsonValue): JsonValue {
  return copyJson(value, null, {
    leaf: (leaf) => (typeof leaf === 'string' ? storableText(leaf) : leaf),
    fill: (source, target, copy) => {
      for (const key of Object.keys(source)) setMember(target, storableText(key), copy(source[key] as JsonValue, null))
    },
  })
}

export type StorableJson = {
  readonly text: string
  /** Characters that jsonb prints for the numbers with an exponent: `1e131071` takes 131,072. */
  readonly spelledOutLength: number
  readonly value: JsonValue
  /** False where `text` lost something of the delivered text, so that the delivered bytes must be kept too. */
  readonly isFaithful: boolean
}

/** A number with an exponent, as JavaScript prints it; jsonb prints all its digits. A match in a string is harmless. */
const WRITTEN_EXPONENT = /\de[+-]\d/

/**
 * Tells whether a text equals the text that JavaScript prints for its value. Such a text has no duplicate keys and no
 * digits that the value lacks, so that the slower checks of {@link parseStorable} are not needed.
 */
function isPlain(text: string, value: JsonValue): boolean {
  return !text.includes('\\u') && !WRITTEN_EXPONENT.test(text) && write(value) === text
}

/**
 * Parses a JSON text of any depth into a value and a text that PostgreSQL can hold. Throws a `SyntaxError` where the
 * text is not JSON.
 */
export function parseStorable(text: string): StorableJson {
  const rounded = JSON.parse(text) as JsonValue
  if (isPlain(text, rounded)) return { text, value: rounded, spelledOutLength: 0, isFaithful: true }
  const numbers = judgeNumbers(text)
  const length = numbers.areRespelt ? spelledOutLength(text) : 0
  const value = numbers.areExact ? rounded : parseLossless(text)
  // With duplicate keys the text holds what the value dropped. PostgreSQL may refuse that part of the text.
  const isDistinct = !hasDuplicateKeys(text, value)
  if (isDistinct && !ESCAPED_SUSPECT.test(text)) {
    return { text, value, spelledOutLength: length, isFaithful: !numbers.areRespelt }
  }
  const storable = storableValue(value)
  const storableAsText = stringifyExact(storable)
  const isChanged = !isDistinct || storableAsText !== stringifyExact(value)
  return isChanged
    ? { text: storableAsText, value: storable, spelledOutLength: length, isFaithful: false }
    : { text, value, spelledOutLength: length, isFaithful: !numbers.areRespelt }
}
