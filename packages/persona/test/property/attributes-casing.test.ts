import fc from 'fast-check'
import t from 'tap'
import { snakeCase } from '../../src/attributes.ts'
import { anEvent, anObject, plain, read, type Json } from '../model/event-document.ts'
import { propertyRuns } from '../model/property-runs.ts'
import { recased } from '../model/recase.ts'

/** A kebab-case key whose words survive camelCase: of two letters and more, a number only behind a word. */
const word = fc.stringMatching(/^[a-z]{2,6}$/)
const keys = fc
  .tuple(word, fc.array(fc.oneof({ weight: 4, arbitrary: word }, fc.stringMatching(/^[0-9]{1,3}$/)), { maxLength: 4 }))
  .map(([first, rest]) => [first, ...rest])
  .filter((words) => words.every((each, at) => !/^\d/.test(each) || !/^\d/.test(words[at - 1] ?? '')))
  .map((words) => words.join('-'))

t.test('a key becomes the same name from each casing, and a name stays what it is', async () => {
  fc.assert(
    fc.property(keys, (key) => {
      const name = key.replaceAll('-', '_')
      const [camel = ''] = Object.keys(recased({ [key]: null }, 'camel') as object)
      return (
        snakeCase(key, 'kebab') === name &&
        snakeCase(name, 'snake') === name &&
        snakeCase(camel, 'camel') === name &&
        snakeCase(name, 'camel') === name
      )
    }),
    propertyRuns(300),
  )
})

t.test('an event tells the same in each casing, at every depth but below fields', async () => {
  const { value } = fc.letrec<{ value: Json }>((tie) => ({
    value: fc.oneof(
      { maxDepth: 3 },
      fc.string(),
      fc.array(tie('value'), { maxLength: 3 }),
      fc.dictionary(keys, tie('value'), { maxKeys: 3 }),
    ),
  }))
  const attributes = fc.record({
    'reference-id': fc.string(),
    'created-at': fc.constant('2026-01-01T00:00:00Z'),
    'some-details': value,
    fields: fc.dictionary(fc.string(), value, { maxKeys: 3 }),
  })
  fc.assert(
    fc.property(attributes, keys, (told, relation) => {
      const data = anObject('inquiry', 'inq_1', told, { [relation]: { data: { type: 'account', id: 'act_1' } } })
      const document = anEvent({ data, included: [anObject('account', 'act_1', told)] })
      const [kebab, camel, snake] = (['kebab', 'camel', 'snake'] as const).map((casing) => {
        const event = read(recased(document, casing))
        return JSON.stringify([plain(event.primary), plain(event.included), plain(event.references)])
      })
      return kebab === camel && kebab === snake
    }),
    propertyRuns(100),
  )
})
