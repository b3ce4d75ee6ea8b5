import { deadLetterReasons } from '@persona-ingest/database'
import { quarantineReasons } from '@persona-ingest/persona'
import t from 'tap'
import { explainReason } from '../../src/dead-letter-reason.ts'

t.test('every reason is explained, and an unknown one is said to be unknown', async (t) => {
  const unknown = explainReason('OF_THE_FUTURE')
  t.match(unknown.meaning, 'does not know')
  t.strictSame(explainReason('constructor'), unknown)
  for (const reason of [...quarantineReasons, ...deadLetterReasons])
    t.strictNotSame(explainReason(reason), unknown, reason)
})
