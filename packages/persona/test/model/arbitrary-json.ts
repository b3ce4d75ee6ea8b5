import fc from 'fast-check'
import type { Json } from './event-document.ts'

/** Any text that JSON can hold, NUL and lone surrogates among it. */
export const anyText = fc.oneof(
  fc.string({ maxLength: 6 }),
  fc.string({ unit: 'binary', maxLength: 6 }),
  fc
    .array(fc.constantFrom('\u0000', '\ud800', '\udc00', '\ud83d\ude00', '"', '\\', ':', ',1e5,', '\u2028', 'x'), {
      maxLength: 6,
    })
    .map((units) => units.join('')),
)

/** Texts that PostgreSQL holds as they are. */
export const storableTexts = fc.string({ unit: 'grapheme', maxLength: 6 }).filter((text) => !text.includes('\u0000'))

/** A JSON number as it may be spelt: leading zeros never, digits and exponents in plenty. */
export const numberText = fc.stringMatching(/^-?(0|[1-9][0-9]{0,20})(\.[0-9]{1,20})?([eE][+-]?[0-9]{1,2})?$/)

/** A number by its spelling, which `JSON.stringify` has no word for; {@link documentText} puts it in. */
export function spelt(number: string): string {
  return `#number:${number}`
}

/** The JSON text of a document, numbers spelt as they were made. */
export function documentText(document: Json): string {
  return JSON.stringify(document).replace(/"#number:([-+.0-9eE]+)"/g, '$1')
}

export const PLAIN_KEYS = ['some-key', 'x1Y', '__proto__', 'constructor', 'toJSON']
export const KEYS_OF_OBJECTS = [...PLAIN_KEYS, 'type', 'id', 'data', 'attributes', 'value', 'isLosslessNumber']

/** A JSON value with texts of the given kind, also as keys beside the given ones. */
export function values(text: fc.Arbitrary<string>, keys: readonly string[] = KEYS_OF_OBJECTS): fc.Arbitrary<Json> {
  const key = fc.oneof(fc.constantFrom(...keys), text)
  const { value } = fc.letrec<{ value: Json }>((tie) => ({
    value: fc.oneof(
      { maxDepth: 3, withCrossShrink: true },
      fc.oneof(text, fc.boolean(), fc.constant(null), fc.integer(), numberText.map(spelt)),
      fc.array(tie('value'), { maxLength: 3 }),
      fc.array(fc.tuple(key, tie('value')), { maxLength: 3 }).map((members): Json => Object.fromEntries(members)),
    ),
  }))
  return value
}
