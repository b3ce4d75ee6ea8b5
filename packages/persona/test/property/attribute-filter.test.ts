import fc from 'fast-check'
import t from 'tap'
import { snakeCase } from '../../src/attributes.ts'
import { attributeFilter } from '../../src/index.ts'
import { parseExact } from '../../src/json.ts'
import { documents } from '../model/arbitrary-document.ts'
import { documentText, PLAIN_KEYS } from '../model/arbitrary-json.ts'
import { canonicalText } from '../model/canonical.ts'
import { readText } from '../model/event-document.ts'
import { propertyRuns } from '../model/property-runs.ts'

const TOKEN = 'access_token='
const texts = documents(fc.constantFrom('a', `https://x.example/?${TOKEN}T`), PLAIN_KEYS).map(({ document }) =>
  documentText(document),
)
const KEPT = new Set(['status', 'redacted_at'])

function withheld(blocklist: readonly string[], text: string): string {
  return Buffer.from(attributeFilter({ blocklist, dropsFileTokens: true })(Buffer.from(text))).toString()
}

/** The attributes of every object of a body, where they are an object. */
function attributesIn(text: string): readonly object[] {
  const { payload } = JSON.parse(text).data.attributes
  const objects = [payload.data, ...(Array.isArray(payload.included) ? payload.included : [])]
  return objects
    .map((object) => object?.attributes)
    .filter((each) => each !== null && typeof each === 'object' && !Array.isArray(each))
}

function textsIn(value: unknown): readonly string[] {
  if (typeof value === 'string') return [value]
  return value !== null && typeof value === 'object' ? Object.values(value).flatMap(textsIn) : []
}

t.test('a list of everything leaves statuses and redactions, and the event is the same one', async () => {
  fc.assert(
    fc.property(texts, (text) => {
      const bare = withheld(['*'], text)
      const keys = attributesIn(bare).flatMap((attributes) => Object.keys(attributes))
      const [before, after] = [readText(text), readText(bare)]
      return (
        keys.every((key) => KEPT.has(snakeCase(key.replaceAll('-', '_'), 'camel'))) &&
        before.id === after.id &&
        canonicalText(before.redactedIds) === canonicalText(after.redactedIds) &&
        canonicalText(before.clock) === canonicalText(after.clock)
      )
    }),
    propertyRuns(200),
  )
})

t.test('what is withheld once is withheld, tokens too, and nothing else changes', async () => {
  fc.assert(
    fc.property(texts, (text) => {
      const once = withheld(['no-such-key'], text)
      return (
        !textsIn(attributesIn(once)).some((value) => value.includes(TOKEN)) &&
        withheld(['no-such-key'], once) === once &&
        (text.includes(TOKEN) || canonicalText(parseExact(once)) === canonicalText(parseExact(text)))
      )
    }),
    propertyRuns(200),
  )
})
