import { stringifyExact } from '@persona-ingest/persona'
import t from 'tap'
import { documentLines } from '../../src/output/json-document.ts'
import { shownLetter } from '../../src/shown-letter.ts'

function letter(body: string) {
  return {
    id: '1',
    event_id: null,
    environment: 'production' as const,
    reason: 'NESTING_TOO_DEEP',
    error: 'the document is nested too deeply to be read',
    attempts: 1,
    received_at: new Date(0),
    failed_at: new Date(0),
    state: 'open' as const,
    resolved_at: null,
    body_bytes: body.length,
    body: Buffer.from(body),
    body_sha256: 'digest',
  }
}

t.test('a body of any depth is shown, masked or not', async (t) => {
  for (const depth of [1, 100, 199, 2_000, 8_000, 50_000]) {
    const text = `${'['.repeat(depth)}"x"${']'.repeat(depth)}`
    const { body, meaning } = shownLetter(letter(text), true)
    t.match(meaning, 'nested')
    t.equal(stringifyExact(body), text)
    t.equal(documentLines(body).length, 1)
    t.equal(stringifyExact(shownLetter(letter(text), false).body), text.replace('x', '•••'))
  }
})

t.test('a body is masked, or as it is; none where it is no JSON', async (t) => {
  const body = '{"data":{"id":"evt_1","attributes":{"name-first":"Zoe"}}}'
  t.strictSame(shownLetter(letter(body), true).body, JSON.parse(body))
  t.strictSame(shownLetter(letter(body), false).body, JSON.parse(body.replace('Zoe', '•••')))
  t.equal(shownLetter(letter('Zoe'), true).body, null)
  t.equal(shownLetter(letter(body), true).body_sha256, 'digest')
  t.equal(shownLetter(letter(body), false).body_sha256, null, 'a digest tells what is masked')
  t.strictSame(shownLetter(letter('\ufeff{"a":1}'), true).body, { a: 1 })
})
