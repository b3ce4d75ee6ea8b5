import { copyJson, isLeaf, setMember, type JsonObject, type JsonValue } from './json.ts'
import { DIGITS_MARK, ExactNumber, isExact, judgeNumbers } from './numbers.ts'

/** The place of the quotation mark that ends the string which begins at `open`. */
function endOfString(text: string, open: number): number {
  for (let close = text.indexOf('"', open + 1); ; close = text.indexOf('"', close + 1)) {
    let before = close - 1
    while (text[before] === '\\') before -= 1
    if ((close - before) % 2 === 1) return close
  }
}

const NUMBER = /-?\d[\d.eE+-]*/g

/** A valid JSON text in which each number that JavaScript would round or reword is a marked string. */
function markNumbers(text: string): string {
  const parts: string[] = []
  for (let at = 0; at < text.length;) {
    const open = text.indexOf('"', at)
    const between = text.slice(at, open === -1 ? text.length : open)
    parts.push(between.replace(NUMBER, (number) => (isExact(number) ? number : `"${DIGITS_MARK}${number}"`)))
    if (open === -1) break
    at = endOfString(text, open) + 1
    parts.push(text.slice(open, at))
  }
  return parts.join('')
}

function copyMembers(
  source: JsonObject,
  target: JsonObject,
  copy: (value: JsonValue, context: null) => JsonValue,
): void {
  for (const key of Object.keys(source)) setMember(target, key, copy(source[key] as JsonValue, null))
}

/** What jsonb refuses anyway is not spelt out: `numeric` has 131,072 digits before the point, 16,383 behind it. */
const LONGEST_SPELLING = 150_000

/** Characters that the numbers with an exponent take in a valid JSON text once they are spelt out. */
function spelledOutLength(text: string): number {
  let length = 0
  for (let at = 0; at < text.length;) {
    const open = text.indexOf('"', at)
    const between = text.slice(at, open === -1 ? text.length : open)
    for (const [number, exponent] of between.matchAll(/-?\d[\d.]*[eE]([+-]?\d+)/g)) {
      const shift = Math.abs(Number(exponent))
      if (shift <= LONGEST_SPELLING) length += number.length + shift
    }
    if (open === -1) break
    at = endOfString(text, open) + 1
  }
  return length
}

/** JavaScript's own parser reads any nesting; parsers that keep digits recurse, and end with the stack. */
function parseLossless(text: string): JsonValue {
  const leaf = (value: JsonValue): JsonValue =>
    typeof value === 'string' && value.startsWith(DIGITS_MARK)
      ? new ExactNumber(value.slice(DIGITS_MARK.length))
      : value
  return copyJson(JSON.parse(markNumbers(text)) as JsonValue, null, { leaf, fill: copyMembers })
}

/** Parses JSON so that every number keeps its digits. Throws a SyntaxError on anything that is no JSON. */
export function parseExact(text: string): JsonValue {
  const rounded = JSON.parse(text) as JsonValue
  return judgeNumbers(text).areExact ? rounded : parseLossless(text)
}

/** The JSON text of a value, which JavaScript's own writer can't give where the nesting is higher than the stack. */
function writeDeep(value: JsonValue): string {
  const parts: string[] = []
  const open: { source: JsonObject | JsonValue[]; keys: readonly string[] | null; at: number }[] = []
  const begin = (member: JsonValue): void => {
    // A date stands in rows that are printed.
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

/** JavaScript's writer recurses. Where its stack ends, the other writer gives the same text. */
function write(value: JsonValue): string {
  try {
    return JSON.stringify(value)
  } catch {
    return writeDeep(value)
  }
}

const MARKED_DIGITS = new RegExp(`"${DIGITS_MARK}([^"]*)"`, 'g')

/** The JSON text of a value made by {@link parseExact}. */
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

/** The same text for every JSON text of the same value, whatever the order of its keys and the space between. */
export function canonicalText(text: string): string {
  return stringifyExact(copyJson(parseExact(text), null, { leaf: asIs, fill: fillInOrder }))
}

/** How many members all objects of a value have together. */
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
  return copyJson(value, null, {
    leaf: (leaf) => (typeof leaf === 'string' ? storableText(leaf) : leaf),
    fill: (source, target, copy) => {
      for (const key of Object.keys(source)) setMember(target, storableText(key), copy(source[key] as JsonValue, null))
    },
  })
}

export type StorableJson = {
  readonly text: string
  /** Characters of the numbers with an exponent once jsonb has spelt them out: `1e131071` takes 131,072. */
  readonly spelledOutLength: number
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
  return !text.includes('\\u') && !WRITTEN_EXPONENT.test(text) && write(value) === text
}

/**
 * Parses a JSON text, nested however deeply, into a value and a text that PostgreSQL can hold. Throws a SyntaxError on
 * what is no JSON.
 */
export function parseStorable(text: string): StorableJson {
  const rounded = JSON.parse(text) as JsonValue
  if (isPlain(text, rounded)) return { text, value: rounded, spelledOutLength: 0, isFaithful: true }
  const numbers = judgeNumbers(text)
  const length = numbers.areRespelt ? spelledOutLength(text) : 0
  const value = numbers.areExact ? rounded : parseLossless(text)
  // Of a key named twice the text holds what the value dropped: PostgreSQL may refuse it, or find it nested too deeply.
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
