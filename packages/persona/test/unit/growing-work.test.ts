import t from 'tap'
import { recaseKeys, recaseObject } from '../../src/attributes.ts'
import { canonicalText, type JsonValue, parseStorable } from '../../src/json.ts'
import { reducePayload } from '../../src/redaction.ts'
import { attributeFilter } from '../../src/attribute-filter.ts'
import { anEvent, anObject, readText, type Json, type JsonMap } from '../model/event-document.ts'

/** Keys that differ in `-` and `_` only, so that all of them become one name. */
function collidingKeys(count: number): readonly string[] {
  return Array.from({ length: count }, (_, number) =>
    Array.from({ length: 20 }, (_each, bit) => ((number >> bit) % 2 === 0 ? '-' : '_')).join('a'),
  )
}

const collidingObject = (count: number): Record<string, number> =>
  Object.fromEntries(collidingKeys(count).map((key) => [key, 1]))

t.test('an object is gone through twice at most, however many of its keys become one name', async (t) => {
  for (const count of [1_000, 16_000]) {
    let passes = 0
    const watched = new Proxy(collidingObject(count), {
      ownKeys: (target) => {
        passes += 1
        return Reflect.ownKeys(target)
      },
    })
    t.equal(Object.keys(recaseObject(watched, 'kebab', (value) => value)).length, 1)
    t.ok(passes <= 2, `${passes} passes over ${count} keys`)
  }
})

/** The least processor time of three runs, in ms; of fewer where one takes no more than `enough`. */
function leastTime(work: () => unknown, enough = 0): number {
  let least = Infinity
  for (let run = 0; run < 3 && least > enough; run += 1) {
    const begun = process.cpuUsage()
    work()
    const { user, system } = process.cpuUsage(begun)
    least = Math.min(least, (user + system) / 1000)
  }
  return least
}

const documentOf = (attributes: JsonMap, included: readonly Json[] = []) =>
  JSON.stringify(anEvent({ data: anObject('inquiry', 'inq_1', attributes), included }))

/** Works of a size. At eight times the size each takes about eight times as long, and would take 64 times by the square. */
const works: Readonly<Record<string, (size: number) => () => unknown>> = {
  'keys that become one name': (size) => {
    const value = collidingObject(size)
    return () => recaseKeys(value, 'kebab')
  },
  'skeletons of objects with such keys': (size) => {
    const text = documentOf({ ...collidingObject(size), 'created-at': '2026-01-01T00:00:00Z' })
    const document = JSON.parse(text) as JsonValue
    return () => reducePayload(document, { casing: 'kebab', kind: 'redacted', isReduced: () => true })
  },
  'an event whose included objects are one and the same': (size) => {
    const text = documentOf(
      {},
      Array.from({ length: size }, () => anObject('report', 'rep_1', { a: 1 })),
    )
    return () => readText(text)
  },
  'an event with many objects, each named by the others': (size) => {
    const data = Array.from({ length: size / 2 }, (_, at) => ({ type: 'report', id: `rep_${at}` }))
    const included = data.map(({ type, id }) => anObject(type, id, {}, { inquiry: { data: { type: 'inquiry', id } } }))
    const text = JSON.stringify(anEvent({ data: anObject('inquiry', 'inq_1', {}, { reports: { data } }), included }))
    return () => readText(text)
  },
  tags: (size) => {
    const text = documentOf({ tags: Array.from({ length: size }, (_, at) => (at % 2 === 0 ? `tag ${at}` : at / 7)) })
    return () => readText(text)
  },
  'numbers with many digits': (size) => {
    const text = `[${Array.from({ length: size }, (_, at) => `1.${at}0`).join(',')},1.${'1'.repeat(size)}]`
    return () => [parseStorable(text), canonicalText(text)]
  },
  'strings of backslashes and quotation marks': (size) => {
    const text = JSON.stringify({ a: '\\'.repeat(size), b: '"'.repeat(size), c: '\\"'.repeat(size), d: '\u0000' })
    return () => parseStorable(text.replace('"a"', '"a": 1.0, "a"'))
  },
  'text that looks like numbers and blanks': (size) => {
    const text = `["${',1'.repeat(size)}",${' '.repeat(size)}1.0,"${', '.repeat(size)}","${'-1.1'.repeat(size)}"]`
    return () => parseStorable(text)
  },
  'a blocklist with many stars': (size) => {
    const key = `${'a-'.repeat(size)}c`
    const text = documentOf({ [key]: 1, x: 1 })
    const filter = attributeFilter({ blocklist: ['*a*a*a*a*b'], dropsFileTokens: true })
    return () => filter(Buffer.from(text))
  },
  'keys of a length': (size) => {
    const text = documentOf({ [`a${'Aa1-'.repeat(size)}`]: 1, [`b${'A'.repeat(size)}`]: 1 })
    return () => readText(text.replace('"created-at"', '"createdAt"'))
  },
}

/** The processor's own memory and the collector make more than eight of it, and nothing like 64. */
const MOST = 35

for (const [name, workOf] of Object.entries(works)) {
  t.test(`time grows with the size, not with its square: ${name}`, async (t) => {
    const [small, large] = [workOf(1_500), workOf(12_000)]
    small()
    const unit = Math.max(leastTime(small), 1)
    const ratio = leastTime(large, MOST * unit) / unit
    t.ok(ratio <= MOST, `eight times the size took ${ratio.toFixed(1)} times as long`)
  })
}

t.test('a blocklist looks at as many keys of a path as its patterns have, whatever the depth', async (t) => {
  const filter = attributeFilter({ blocklist: ['name-*', '/data/attributes/a/b'], dropsFileTokens: false })
  const bodyOf = (depth: number) =>
    Buffer.from(
      documentOf({ deep: 'HERE' }).replace(
        '"HERE"',
        '{"a":'.repeat(depth) + JSON.stringify(collidingObject(4_000)) + '}'.repeat(depth),
      ),
    )
  const [shallow, deep] = [bodyOf(1), bodyOf(900)]
  filter(shallow)
  const unit = Math.max(
    leastTime(() => filter(shallow)),
    0.5,
  )
  const ratio = leastTime(() => filter(deep), 10 * unit) / unit
  t.ok(ratio <= 10, `900 times the depth took ${ratio.toFixed(1)} times as long`)
})
