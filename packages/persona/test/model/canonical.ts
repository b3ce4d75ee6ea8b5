import { isLosslessNumber, parse } from 'lossless-json'
import { stringifyExact, type PersonaEvent } from '../../src/index.ts'
import { type JsonObject, type JsonValue } from '../../src/json.ts'

function mapTree(
  value: JsonValue,
  order: (left: string, right: string) => number,
  number: (text: string) => string,
): string {
  if (isLosslessNumber(value)) return number(value.toString())
  if (typeof value === 'number') return number(String(value))
  if (value === null || typeof value !== 'object') return stringifyExact(value)
  if (Array.isArray(value)) return `[${value.map((item) => mapTree(item, order, number)).join(',')}]`
  const keys = Object.keys(value).toSorted(order)
  return `{${keys.map((key) => `${JSON.stringify(key)}:${mapTree(value[key] ?? null, order, number)}`).join(',')}}`
}

const byText = (left: string, right: string): number => (left < right ? -1 : Number(left > right))

/** A value as text that two values have in common exactly where they say the same. */
export function canonicalText(value: unknown): string {
  return mapTree(value as JsonValue, byText, (text) => text)
}

/** All that an event tells, apart from the text it was read from, as text. */
export function canonical(event: PersonaEvent): string {
  const { document: _document, payloadText: _text, originalBytes: _bytes, ...told } = event
  const sorted = (list: readonly unknown[]) => list.map(canonicalText).toSorted(byText)
  return canonicalText({
    ...told,
    references: sorted(event.references),
    claims: sorted(event.claims),
    redactedIds: sorted(event.redactedIds),
    redactedInquiryIds: sorted(event.redactedInquiryIds),
  })
}

/** A number as PostgreSQL's `numeric` prints it: without an exponent, with its scale, and never as minus zero. */
function numericText(text: string): string {
  const [mantissa = '', exponent = '0'] = text.toLowerCase().split('e')
  const [whole = '', fraction = ''] = mantissa.replace('-', '').split('.')
  const scale = Math.max(0, fraction.length - Number(exponent))
  const shift = Number(exponent) - fraction.length + scale
  const digits = `${whole}${fraction}${'0'.repeat(shift)}`.padStart(scale + 1, '0')
  const integer = digits.slice(0, digits.length - scale).replace(/^0+(?=\d)/, '')
  const printed = scale === 0 ? integer : `${integer}.${digits.slice(-scale)}`
  return text.startsWith('-') && /[1-9]/.test(printed) ? `-${printed}` : printed
}

/** A JSON text as `jsonb` gives it back: keys by length and bytes, each once, numbers as `numeric` prints them. */
export function jsonbText(text: string): string {
  const byLength = (left: string, right: string): number =>
    Buffer.byteLength(left) - Buffer.byteLength(right) || Buffer.compare(Buffer.from(left), Buffer.from(right))
  const document = parse(text, null, { onDuplicateKey: ({ newValue }) => newValue }) as JsonObject
  return mapTree(document, byLength, numericText)
}
