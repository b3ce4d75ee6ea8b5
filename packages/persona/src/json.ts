import { isLosslessNumber, type LosslessNumber } from 'lossless-json'
import { DIGITS_MARK, endOfString, ExactNumber, judgeNumbers, markNumbers, spelledOutLength } from './numbers.ts'

export type JsonObject = { [key: string]: JsonValue }
/** A parsed JSON value; a number that JavaScript would round or reword is a `LosslessNumber`. */
export type JsonValue = null | boolean | number | string | LosslessNumber | JsonValue[] | JsonObject

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

/** True for what has no members: text, number, boolean, null. */
export function isLeaf(value: JsonValue): value is Exclude<JsonValue, JsonObject | JsonValue[]> {
  return value === null || typeof value !== 'object' || isLosslessNumber(value)
}

/** How a document is copied. `Context` is handed down from an object to its members. */
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
 * Copies a value, container by container. Not by recursion: the log may hold documents that an older version stored, and
 * that are nested more deeply than the stack is high.
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
