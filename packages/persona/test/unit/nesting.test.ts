import t from 'tap'
import { prunedPayload, reduceEvent } from '../../src/redaction.ts'
import { readEvent, UnusableEventError } from '../../src/event.ts'
import { canonicalText, stringifyExact } from '../../src/json.ts'
import { anEvent, readText, RECEIVED_AT_MS } from '../model/event-document.ts'

/** The text of an event with attributes, relationships and included objects nested by so many levels more. */
function deepText(depth: number): string {
  const list = '['.repeat(depth) + ']'.repeat(depth)
  const object = `${'{"a-b":'.repeat(depth)}1.0${'}'.repeat(depth)}`
  const text = JSON.stringify(
    anEvent({
      data: {
        type: 'inquiry',
        id: 'inq_1',
        attributes: { list: 'LIST', 'an-object': 'OBJECT', tags: 'LIST', nul: '\u0000' },
      },
      included: [{ type: 'report', id: 'rep_1', attributes: 'OBJECT', relationships: { x: { data: 'LIST' } } }],
    }),
  )
  return text.replaceAll('"LIST"', list).replaceAll('"OBJECT"', object)
}

t.test('a body nested beyond 1,000 levels is refused, however warm the process is', async (t) => {
  const expected = new UnusableEventError('NESTING_TOO_DEEP')
  for (let turn = 0; turn < 30; turn += 1) t.ok(readText(deepText(900)))
  for (const depth of [1_000, 2_000, 3_000, 4_000, 100_000]) t.throws(() => readText(deepText(depth)), expected)
})

t.test('what stands in the log is read, reduced and written however deeply it is nested', async (t) => {
  for (const depth of [900, 3_000, 100_000]) {
    const body = Buffer.from(deepText(depth))
    const event = readEvent({ body, environment: 'production', receivedAtMs: RECEIVED_AT_MS, isStored: true })
    const again = readEvent({
      body: Buffer.from(event.payloadText),
      environment: 'production',
      receivedAtMs: RECEIVED_AT_MS,
      isStored: true,
    })
    t.equal(stringifyExact(again.document), event.payloadText)
    t.match(stringifyExact(event.primary.snapshot.attributes), /"an_object":(\{"a_b":){900}/)
    t.match(canonicalText(event.payloadText), /(\{"a-b":){900}/)
    const erased = reduceEvent(event, () => ({ ...event.clock, rank: 9 }))
    t.ok(erased.payloadText.length < 1_000 + 2 * depth, 'lists of relationships keep their shape')
    t.ok(prunedPayload(event).length < 1_000 + 2 * depth)
  }
})
