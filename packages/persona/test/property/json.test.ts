import fc from 'fast-check'
import t from 'tap'
import { parseExact, parseStorable, stringifyExact } from '../../src/json.ts'
import { anyText, numberText } from '../model/arbitrary-json.ts'
import { propertyRuns } from '../model/property-runs.ts'

/** A JSON text and what is true of it, made side by side. */
type Written = {
  /** With whatever blanks and escapes. */
  readonly text: string
  /** As `JSON.stringify` would write it, numbers as they came; of a key named twice, the last. */
  readonly compact: string
  readonly hasDuplicates: boolean
  readonly isStorable: boolean
  readonly isRespelt: boolean
}

const blank = fc.constantFrom('', '', '', ' ', '\n', '\t', '\r\n ')

const string: fc.Arbitrary<Written> = fc
  .tuple(anyText, fc.boolean(), blank, blank)
  .map(([value, escaped, before, after]) => {
    const compact = JSON.stringify(value)
    const written = escaped
      ? `"${Array.from({ length: value.length }, (_, at) => `\\u${value.charCodeAt(at).toString(16).padStart(4, '0')}`).join('')}"`
      : compact
    return {
      text: `${before}${written}${after}`,
      compact,
      hasDuplicates: false,
      isStorable: value.isWellFormed() && !value.includes('\u0000'),
      isRespelt: false,
    }
  })

const number: fc.Arbitrary<Written> = fc.tuple(numberText, blank, blank).map(([spelt, before, after]) => ({
  text: `${before}${spelt}${after}`,
  compact: spelt,
  hasDuplicates: false,
  isStorable: true,
  isRespelt: /e/i.test(spelt) || /^-[0.]+$/.test(spelt),
}))

function joined(parts: readonly Written[], text: string, compact: string, hasDuplicates = false): Written {
  return {
    text,
    compact,
    hasDuplicates: hasDuplicates || parts.some((part) => part.hasDuplicates),
    isStorable: parts.every((part) => part.isStorable),
    isRespelt: parts.some((part) => part.isRespelt),
  }
}

function list(items: readonly Written[]): Written {
  return joined(
    items,
    `[${items.map((item) => item.text).join(',')}]`,
    `[${items.map((item) => item.compact).join(',')}]`,
  )
}

function object(members: readonly (readonly [Written, Written])[]): Written {
  const last = new Map(members.map(([key, value]) => [key.compact, value.compact]))
  return joined(
    members.flat(),
    `{${members.map(([key, value]) => `${key.text}:${value.text}`).join(',')}}`,
    `{${[...last].map(([key, value]) => `${key}:${value}`).join(',')}}`,
    last.size < members.length,
  )
}

// Keys that look like places of a list would be moved to the front by every JavaScript object.
const key = fc.oneof(string, string).filter(({ compact }) => !/^"\d+"$/.test(compact))
const { document } = fc.letrec<{ value: Written; document: Written }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 3, withCrossShrink: true },
    fc.oneof(string, number),
    fc.array(tie('value'), { maxLength: 4 }).map(list),
    fc.array(fc.tuple(key, tie('value')), { maxLength: 4 }).map(object),
  ),
  document: fc.array(fc.tuple(key, tie('value')), { maxLength: 5 }).map(object),
}))

t.test('parsing and printing gives back every text, key and digit', async () => {
  fc.assert(
    fc.property(document, ({ text, compact }) => {
      const printed = stringifyExact(parseExact(text))
      if (printed !== compact) throw new Error(`expected ${compact}, got ${printed}`)
    }),
    propertyRuns(300),
  )
})

t.test(
  'a text is faithful exactly where nothing is named twice, respelt by jsonb or refused by PostgreSQL',
  async () => {
    fc.assert(
      fc.property(document, fc.boolean(), ({ text, compact, hasDuplicates, isStorable, isRespelt }, isCompact) => {
        // As JavaScript would write it, and so taken without a closer look; of a key named twice it holds one only.
        const { isFaithful } = parseStorable(isCompact && !hasDuplicates ? compact : text)
        const mustBe = !hasDuplicates && isStorable && !isRespelt
        // A text that looks like such a number inside a string may cost a copy of the bytes, never the other way round.
        return mustBe ? isFaithful || /-0|[eE]/.test(text) : !isFaithful
      }),
      propertyRuns(300),
    )
  },
)

t.test('a storable text holds neither NUL nor a lone surrogate, and says the same as its value', async () => {
  fc.assert(
    fc.property(document, (written) => {
      const { text, value } = parseStorable(written.text)
      // Every literal, those of a key that is named again later too: PostgreSQL reads them all.
      for (const [literal] of text.matchAll(/"(?:[^"\\]|\\.)*"/g)) {
        const told = JSON.parse(literal) as string
        if (!told.isWellFormed() || told.includes('\u0000')) throw new Error(text)
      }
      const again = parseStorable(text)
      return stringifyExact(again.value) === stringifyExact(value) && again.text === text
    }),
    propertyRuns(1000),
  )
})
