import { randomUUID } from 'node:crypto'
import { LosslessNumber, isLosslessNumber, parse } from 'lossless-json'

export type JsonObject = { [key: string]: JsonValue }
/** A parsed JSON value; a number that JavaScript would round or reword is a `LosslessNumber`. */
export type JsonValue = null | boolean | number | string | LosslessNumber | JsonValue[] | JsonObject

/**
 * Finds numbers that `JSON.parse` followed by `JSON.stringify` may not give back: 16 digits and more, exponents, a
 * fraction ending in 0 or below a millionth, minus zero. A match inside a string only costs the slower parser.
 */
const SUSPECT =
  /[:[,]\s*(-0(?=[,\]}\s])|-?(?=\d{16}|[\d.]{17}|0\.0{6}|\d+\.\d*0[,\]}\s]|[\d.]+[eE])\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)(?=[,\]}\s])/
const EVERY_SUSPECT = new RegExp(SUSPECT.source, 'g')

/** Begins the string that carries a number's digits through `JSON.stringify`; no body can hold what it can't know. */
const DIGITS_MARK = `exact number ${randomUUID()}: `
const MARKED_DIGITS = new RegExp(`"${DIGITS_MARK}([^"]*)"`, 'g')

/** A number as its text spells it. `JSON.stringify` can't give back digits as they are; a marked string it can. */
class ExactNumber extends LosslessNumber {
  toJSON(): string {
    return DIGITS_MARK + this.value
  }
}

function isExact(number: string): boolean {
  return String(Number(number)) === number
}

function exactNumber(text: string): number | LosslessNumber {
  return isExact(text) ? Number(text) : new ExactNumber(text)
}

/** Numbers that jsonb spells anew (`1e2` as `100`, `-0` as `0`): a text column would hold another text after a rebuild. */
const RESPELT = /^-0(?:\.0+)?$|[eE]/

/** What a text's numbers need; most texts hold no suspect one, and most suspects are what JavaScript would print. */
function judgeNumbers(text: string): { readonly areExact: boolean; readonly areRespelt: boolean } {
  let areExact = true
  let areRespelt = false
  if (!SUSPECT.test(text)) return { areExact, areRespelt }
  for (const [, match] of text.matchAll(EVERY_SUSPECT)) {
    const number = match as string
    areExact &&= isExact(number)
    areRespelt ||= RESPELT.test(number)
  }
  return { areExact, areRespelt }
}

/** An object that members are added to one by one; {@link setMember} keeps a key such as `__proto__` a key. */
export function newObject(): JsonObject {
  return {}
}

/** Adds a member of any name. Plain objects are several times as fast to fill and to write as those without prototype. */
export function setMember(object: JsonObject, name: string, value: JsonValue): void {
  if (name !== '__proto__') object[name] = value
  else Object.defineProperty(object, name, { value, enumerable: true, configurable: true, writable: true })
}

/** True for an object (not an array, not a number, not null). */
export function isJsonObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !isLosslessNumber(value)
}

/** The own value of a key; undefined where the object lacks it (inherited names such as `constructor` are no keys). */
export function own(object: JsonObject, key: string): JsonValue | undefined {
  return Object.hasOwn(object, key) ? object[key] : undefined
}

/** Ten times as slow as JavaScript's own parser, and not as strict: for texts that one has taken. */
function parseLossless(text: string): JsonValue {
  return parse(text, null, { parseNumber: exactNumber, onDuplicateKey: ({ newValue }) => newValue }) as JsonValue
}

/** Parses JSON so that every number keeps its digits. Throws a SyntaxError on anything that is no JSON. */
export function parseExact(text: string): JsonValue {
  const rounded = JSON.parse(text) as JsonValue
  return judgeNumbers(text).areExact ? rounded : parseLossless(text)
}

/** The JSON text of a value made by {@link parseExact}. */
export function stringifyExact(value: JsonValue): string {
  const text = JSON.stringify(value)
  return text.includes(DIGITS_MARK) ? text.replace(MARKED_DIGITS, '$1') : text
}

function inOrderOfKeys(value: JsonValue): JsonValue {
  if (Array.isArray(value)) return value.map(inOrderOfKeys)
  if (!isJsonObject(value)) return value
  const keys = Object.keys(value).toSorted()
  return Object.fromEntries(keys.map((key) => [key, inOrderOfKeys(value[key] as JsonValue)]))
}

/** The same text for every JSON text of the same value, whatever the order of its keys and the space between. */
export function canonicalText(text: string): string {
  return stringifyExact(inOrderOfKeys(parseExact(text)))
}

/** How many members all objects of a value have together. */
function countMembers(value: JsonValue): number {
  if (value === null || typeof value !== 'object' || isLosslessNumber(value)) return 0
  let members = 0
  if (Array.isArray(value)) {
    for (const item of value) members += countMembers(item)
    return members
  }
  for (const key of Object.keys(value)) members += 1 + countMembers(value[key] as JsonValue)
  return members
}

/** The place of the quotation mark that ends the string which begins at `open`. */
function endOfString(text: string, open: number): number {
  for (let close = text.indexOf('"', open + 1); ; close = text.indexOf('"', close + 1)) {
    let before = close - 1
    while (text[before] === '\\') before -= 1
    if ((close - before) % 2 === 1) return close
  }
}

/** How many keys a valid JSON text spells out: strings that a colon follows. */
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
 * Tells whether a text names a key twice in one object: parsers keep the last one only, so the text holds more than
 * its value. `value` must be what the text parses to.
 */
export function hasDuplicateKeys(text: string, value: JsonValue): boolean {
  return countKeys(text) !== countMembers(value)
}

const ESCAPED_SUSPECT = /\\u(?:0000|d[89a-f])/i

/** Replaces what PostgreSQL's text and jsonb can't hold, NUL and lone surrogates, by U+FFFD. */
export function storableText(text: string): string {
  return text.includes('\u0000') ? text.replaceAll('\u0000', '\ufffd').toWellFormed() : text.toWellFormed()
}

function storableValue(value: JsonValue): JsonValue {
  if (typeof value === 'string') return storableText(value)
  if (value === null || typeof value !== 'object' || isLosslessNumber(value)) return value
  if (Array.isArray(value)) return value.map(storableValue)
  const storable = newObject()
  for (const key of Object.keys(value)) setMember(storable, storableText(key), storableValue(value[key] as JsonValue))
  return storable
}

export type StorableJson = {
  readonly text: string
  readonly value: JsonValue
  /** False where `text` no longer says all that the delivered text said, so that its bytes must be kept too. */
  readonly isFaithful: boolean
}

/** A number with an exponent, as JavaScript writes it; jsonb spells it out. In a string it costs the closer look only. */
const WRITTEN_EXPONENT = /\de[+-]\d/

/**
 * Tells whether a text is written as JavaScript writes its value: then it holds nothing that the value lacks, neither a
 * key named twice nor digits of a number, and needs no closer look.
 */
function isPlain(text: string, value: JsonValue): boolean {
  if (text.includes('\\u') || WRITTEN_EXPONENT.test(text)) return false
  try {
    return JSON.stringify(value) === text
  } catch {
    // Nested too deeply to be written by JavaScript: whether it can be read all the same is not for here to say.
    return false
  }
}

/**
 * Parses a JSON text into a value and a text that PostgreSQL can hold.
 * Throws a SyntaxError on what is no JSON and a RangeError on nesting beyond the stack.
 */
export function parseStorable(text: string): StorableJson {
  const rounded = JSON.parse(text) as JsonValue
  if (isPlain(text, rounded)) return { text, value: rounded, isFaithful: true }
  const numbers = judgeNumbers(text)
  const value = numbers.areExact ? rounded : parseLossless(text)
  const isDistinct = !hasDuplicateKeys(text, value)
  const isFaithful = isDistinct && !numbers.areRespelt
  if (!ESCAPED_SUSPECT.test(text)) return { text, value, isFaithful }
  const storable = storableValue(value)
  const storableAsText = stringifyExact(storable)
  // Of a key named twice the text holds what the value dropped, which PostgreSQL would refuse all the same.
  if (isDistinct && storableAsText === stringifyExact(value)) return { text, value, isFaithful }
  return { text: storableAsText, value: storable, isFaithful: false }
}
