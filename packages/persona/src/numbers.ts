import { randomUUID } from 'node:crypto'
import { LosslessNumber } from 'lossless-json'

/**
 * Finds numbers that `JSON.parse` followed by `JSON.stringify` may not give back: 16 digits and more, exponents, a
 * fraction ending in 0 or below a millionth, minus zero. A match inside a string only costs the slower parser.
 */
const SUSPECT =
  /[:[,]\s*(-0(?=[,\]}\s])|-?(?=\d{16}|[\d.]{17}|0\.0{6}|\d+\.\d*0[,\]}\s]|[\d.]+[eE])\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)(?=[,\]}\s])/
const EVERY_SUSPECT = new RegExp(SUSPECT.source, 'g')

/** Begins the string that carries a number's digits through `JSON.stringify`; no body can hold what it can't know. */
export const DIGITS_MARK = `exact number ${randomUUID()}: `

/** A number as its text spells it. `JSON.stringify` can't give back digits as they are; a marked string it can. */
export class ExactNumber extends LosslessNumber {
  toJSON(): string {
    return DIGITS_MARK + this.value
  }
}

/** Whether JavaScript prints a number as this text spells it. */
export function isExact(number: string): boolean {
  return String(Number(number)) === number
}

/** The place of the quotation mark that ends the string which begins at `open`. */
export function endOfString(text: string, open: number): number {
  for (let close = text.indexOf('"', open + 1); ; close = text.indexOf('"', close + 1)) {
    let before = close - 1
    while (text[before] === '\\') before -= 1
    if ((close - before) % 2 === 1) return close
  }
}

const NUMBER = /-?\d[\d.eE+-]*/g

/** A valid JSON text in which each number that JavaScript would round or reword is a marked string. */
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

/** Numbers that jsonb spells anew (`1e2` as `100`, `-0` as `0`). */
const RESPELT = /^-0(?:\.0+)?$|[eE]/

/** What a text's numbers need; most texts hold no suspect one, and most suspects are what JavaScript would print. */
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

/** PostgreSQL's `numeric` has 131,072 digits before the point and 16,383 behind it at most, and refuses the rest. */
const MAX_SHIFT = 150_000

/** Characters that the numbers with an exponent take in a valid JSON text once they are spelt out. */
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
 * The text of a number as jsonb prints it: without exponent, and without the sign of a zero. Digits stay, zeros at the
 * end included: `1e2` is `100`, `100e-2` is `1.00`, `1.50` is itself. A text column holds this spelling, so that the
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
