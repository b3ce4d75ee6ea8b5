import { deadLetterReasons } from '@persona-ingest/database'
import { quarantineReasons, stringifyExact } from '@persona-ingest/persona'
import t from 'tap'
import { explainReason, showDeadLetter } from '../../src/show-dead-letter.ts'

function deadLetter(body: string) {
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
    const { body, meaning } = showDeadLetter(deadLetter(text), true)
    t.match(meaning, 'nested')
    t.equal(stringifyExact(body), text)
    t.equal(stringifyExact(showDeadLetter(deadLetter(text), false).body), text.replace('x', '•••'))
  }
})

t.test('a body is masked, or as it is; none where it is no JSON', async (t) => {
  const body = '{"data":{"id":"evt_1","attributes":{"name-first":"Zoe"}}}'
  t.strictSame(showDeadLetter(deadLetter(body), true).body, JSON.parse(body))
  t.strictSame(showDeadLetter(deadLetter(body), false).body, JSON.parse(body.replace('Zoe', '•••')))
  t.equal(showDeadLetter(deadLetter('Zoe'), true).body, null)
  t.equal(showDeadLetter(deadLetter(body), true).body_sha256, 'digest')
  t.equal(showDeadLetter(deadLetter(body), false).body_sha256, null, 'a digest tells what is masked')
  t.strictSame(showDeadLetter(deadLetter('\ufeff{"a":1}'), true).body, { a: 1 })
})

t.test('every reason is explained, and an unknown one is said to be unknown', async (t) => {
  const unknown = explainReason('OF_THE_FUTURE')
  t.match(unknown.meaning, 'does not know')
  t.strictSame(explainReason('constructor'), unknown)
  for (const reason of [...quarantineReasons, ...deadLetterReasons])
    t.strictNotSame(explainReason(reason), unknown, reason)
})
