import { randomUUID } from 'node:crypto'
import { LosslessNumber } from 'lossless-json'

/**
 * Numbers that may change by `JSON.parse` followed by `JSON.stringify`: 16 digits and more, exponents, a fraction that
 * ends in 0 or is below a millionth, minus zero. A match inside a string only costs time.
 */
const SUSPECT =
  /[:[,]\s*(-0(?=[,\]}\s])|-?(?=\d{16}|[\d.]{17}|0\.0{6}|\d+\.\d*0[,\]}\s]|[\d.]+[eE])\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)(?=[,\]}\s])/
const EVERY_SUSPECT = new RegExp(SUSPECT.source, 'g')

/** Prefix of a string that carries a number's digits through `JSON.stringify`. It is random: no body can contain it. */
export const DIGITS_MARK = `exact number ${randomUUID()}: `

/** A number that keeps the digits of its text. It prints as a string with {@link DIGITS_MARK}. */
export class ExactNumber extends LosslessNumber {
  toJSON(): string {
    return DIGITS_MARK + this.value
  }
}

/** Tells whether JavaScript prints a number exactly as this text. */
export function isExact(number: string): boolean {
  return String(Number(number)) === number
}

/** Returns the index of the quotation mark that ends the string beginning at `open`. */
export function endOfString(text: string, open: number): number {
  for (let close = text.indexOf('"', open + 1); ; close = text.indexOf('"', close + 1)) {
    let before = close - 1
    while (text[before] === '\\') before -= 1
    if ((close - before) % 2 === 1) return close
  }
}

const NUMBER = /-?\d[\d.eE+-]*/g

/** Returns a valid JSON text with every inexact number replaced by a string with {@link DIGITS_MARK}. */
export function markNumbers(text: string): string {
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

/** Numbers that jsonb prints differently (`1e2` as `100`, `-0` as `0`). */
const RESPELT = /^-0(?:\.0+)?$|[eE]/

/** Tells whether JavaScript keeps all numbers of a text exact, and whether jsonb prints any of them differently. */
export function judgeNumbers(text: string): { readonly areExact: boolean; readonly areRespelt: boolean } {
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

/** PostgreSQL's `numeric` refuses more than 131,072 digits before the point or 16,383 behind it. */
const MAX_SHIFT = 150_000

/** Counts the characters that jsonb prints for the numbers with an exponent in a valid JSON text. */
export function spelledOutLength(text: string): number {
  let length = 0
  for (let at = 0; at < text.length;) {
    const open = text.indexOf('"', at)
    const between = text.slice(at, open === -1 ? text.length : open)
    for (const [number, exponent] of between.matchAll(/-?\d[\d.]*[eE]([+-]?\d+)/g)) {
      const shift = Math.abs(Number(exponent))
      if (shift <= MAX_SHIFT) length += number.length + shift
    }
    if (open === -1) break
    at = endOfString(text, open) + 1
  }
  return length
}

const PARTS = /^(-?)(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d+))?$/

/**
 * Returns the text of a number as jsonb prints it, without exponent and without the sign of a zero. Digits stay, zeros
 * at the end included: `1e2` becomes `100`, `100e-2` becomes `1.00`. A text column holds this form, so that the
 * delivered text and the stored document give the same row.
 */
export function numberText(number: string): string {
  if (!RESPELT.test(number)) return number
  const [, sign = '', whole = '0', fraction = '', exponent = '0'] = PARTS.exec(number) ?? []
  const shift = Number(exponent)
  if (Math.abs(shift) > MAX_SHIFT) return number
  const places = Math.max(0, fraction.length - shift)
  const digits = `${whole}${fraction}`.padEnd(whole.length + shift, '0').padStart(places + 1, '0')
  const integer = digits.slice(0, digits.length - places).replace(/^0+(?=\d)/, '')
  const text = places === 0 ? integer : `${integer}.${digits.slice(-places)}`
  return /[1-9]/.test(text) ? sign + text : text
}
