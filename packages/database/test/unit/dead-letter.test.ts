import type { Clock, RedactionLookup } from '@persona-ingest/persona'
import t from 'tap'
import {
  emptiedBody,
  isEmptied,
  objectIdsOf,
  readDeadLetter,
  redactDeadLetterBody,
  type DeadLetterBytes,
} from '../../src/dead-letters/dead-letter.ts'
import { eventOf } from '../fixtures/a-batch.ts'
import { anEvent, anObject, bodyOf, related } from '../fixtures/an-event.ts'

function deadLetter(body: Uint8Array | string): DeadLetterBytes {
  return { body: Buffer.from(body), environment: 'production', receivedAtMs: Date.UTC(2026, 1, 3, 10, 0, 30) }
}

const namesOf = (text: string): readonly string[] => objectIdsOf(deadLetter(text)).toSorted()

/** Erases some objects at a time; null for all others. */
function erased(clocks: Readonly<Record<string, Clock>>): RedactionLookup {
  return (objectId) => clocks[objectId] ?? null
}
const LATER: Clock = { createdAtMs: Date.UTC(2026, 1, 4), rank: 0, eventId: 'evt_9' }
const EARLIER: Clock = { createdAtMs: Date.UTC(2026, 1, 2), rank: 7, eventId: 'evt_9' }

const inquiry = anObject('inquiry', 'inq_1', {
  attributes: { 'name-first': 'MARK' },
  relationships: { account: related(['account', 'act_1']) },
})
const event = anEvent({ data: inquiry, included: [anObject('verification', 'ver_1', { attributes: { a: 'MARK' } })] })

t.test('a readable event names its objects, its references and the inquiries that it claims for', async (t) => {
  t.strictSame(namesOf(JSON.stringify(event)), ['act_1', 'inq_1', 'ver_1'])
  const report = anObject('report', 'rep_1', { relationships: { inquiry: related(['inquiry', 'inq_2']) } })
  t.strictSame(namesOf(JSON.stringify(anEvent({ data: report }))), ['inq_2', 'rep_1'])
})

t.test('unreadable bytes name every id in them, however broken they are', async (t) => {
  const cases: Readonly<Record<string, readonly string[]>> = {
    '': [],
    'no JSON at all': [],
    '{"id": "inq_1", "name": "MARK"': ['inq_1'],
    '{"id":"inq_1","a":[{"id" : "ver_1"},{"id"\n:\t"ver_2"}': ['inq_1', 'ver_1', 'ver_2'],
    '{"id":"inq_1"}{"id":"inq_1"}': ['inq_1'],
    '"id":"with \\"quotes\\" and \\u00e9"': ['with "quotes" and é'],
    '"id":"\\u0069nq_1"': ['inq_1'],
    '"id":""': [],
    '"id":5, "id":null, "uid":"x", "inquiry_id":"y"': [],
    '"id":"cut off': [],
    '"id":"wrong \\x escape"': [],
  }
  for (const [text, ids] of Object.entries(cases)) t.strictSame(namesOf(text), ids, text)
})

t.test('an id in unreadable bytes is spelt as PostgreSQL holds it', async (t) => {
  t.strictSame(namesOf('"id":"a\\u0000b"'), ['a\ufffdb'])
  t.strictSame(namesOf('"id":"a\\ud800"'), ['a\ufffd'])
})

t.test('an id in unreadable bytes has the length of an id at most', async (t) => {
  const longest = '😀'.repeat(255)
  t.strictSame(namesOf(`"id":"${longest}"`), [longest])
  const spelt = String.raw`\ud83d\ude00`.repeat(255)
  t.strictSame(namesOf(`"id":"${spelt}"`), [longest])
  t.strictSame(namesOf(`"id":"${'x'.repeat(511)}"`), [])
  t.strictSame(namesOf(`"id":"${'x'.repeat(9_000_000)}", "id":"inq_1"`), ['inq_1'], 'whatever their size')
})

t.test('a body is an event or null, and never throws', async (t) => {
  t.equal(readDeadLetter(deadLetter(JSON.stringify(event)))?.id, 'evt_1')
  for (const body of ['', '{', 'null', '[]', '{"data":{}}', '{"id":"inq_1"}']) t.equal(readDeadLetter(deadLetter(body)), null, body) // prettier-ignore
})

t.test('a body that no erasure reaches stays as it is', async (t) => {
  for (const body of [JSON.stringify(event), '{"id":"inq_1"', 'MARK']) {
    t.equal(redactDeadLetterBody(deadLetter(body), () => null), null) // prettier-ignore
    t.equal(redactDeadLetterBody(deadLetter(body), erased({ inq_2: LATER })), null)
  }
  const newer = redactDeadLetterBody(deadLetter(JSON.stringify(event)), erased({ inq_1: EARLIER, ver_1: EARLIER }))
  t.equal(newer, null, 'a snapshot that is newer than the erasure')
})

t.test('a readable event keeps its skeleton, as the log would', async (t) => {
  const body = redactDeadLetterBody(deadLetter(JSON.stringify(event)), erased({ inq_1: LATER }))
  const reduced = readDeadLetter(deadLetter(body ?? ''))
  t.notMatch(reduced?.payloadText, 'MARK')
  t.match(reduced, { id: 'evt_1', name: 'inquiry.transitioned', primary: { id: 'inq_1' }, included: [{ id: 'ver_1' }] })
  const again = redactDeadLetterBody(deadLetter(body ?? ''), erased({ inq_1: LATER }))
  t.strictSame(again, body, 'a second time gives the same')
})

t.test("a readable event's own claims count, since they are stored nowhere", async (t) => {
  const data = anObject('verification', 'ver_1', {
    attributes: { 'name-first': 'MARK' },
    relationships: { inquiry: related(['inquiry', 'inq_1']) },
  })
  const body = bodyOf(anEvent({ name: 'verification.passed', data }))
  const reduced = redactDeadLetterBody(deadLetter(body), erased({ inq_1: LATER }))
  t.notMatch(Buffer.from(reduced ?? 'MARK').toString(), 'MARK')
  t.not(redactDeadLetterBody(deadLetter(body), erased({ inq_1: LATER, ver_1: EARLIER })), null, 'a newer claim')
  t.not(redactDeadLetterBody(deadLetter(body), erased({ inq_1: EARLIER, ver_1: LATER })), null, 'a newer erasure')
  t.equal(redactDeadLetterBody(deadLetter(body), erased({ inq_1: EARLIER, ver_1: EARLIER })), null)
  t.match(eventOf({ data }).claims, [{ objectId: 'ver_1', inquiryId: 'inq_1' }])
})

t.test('unreadable bytes that name an erased object keep nothing, whenever it was erased', async (t) => {
  for (const clock of [EARLIER, LATER]) {
    const body = redactDeadLetterBody(deadLetter('{"id": "inq_1", "name": "MARK"'), erased({ inq_1: clock }))
    t.ok(isEmptied(body ?? Buffer.alloc(0)))
    t.notMatch(Buffer.from(body ?? 'MARK').toString(), /MARK|inq_1/)
  }
})

t.test('an emptied body is recognised, differs from every other, and is emptied only once', async (t) => {
  const [first, second] = [emptiedBody(), emptiedBody()]
  t.ok(isEmptied(first))
  t.notOk(Buffer.from(first).equals(second))
  t.strictSame(objectIdsOf(deadLetter(first)), [])
  t.equal(redactDeadLetterBody(deadLetter(first), () => LATER), null) // prettier-ignore
  t.ok(isEmptied(Buffer.from(`{"sha256":"${'0a'.repeat(32)}"}`)), 'as older versions left it')
})

t.test('a body that only resembles an emptied one is none', async (t) => {
  const text = Buffer.from(emptiedBody()).toString()
  const others = ['', '{}', ` ${text}`, `${text}\n`, text.replace('erased', 'sha256'), '{"erased":"x"}', '{"sha256":"00"}', text.toUpperCase(), text.padEnd(100)] // prettier-ignore
  for (const other of others) t.notOk(isEmptied(Buffer.from(other)), other)
})
