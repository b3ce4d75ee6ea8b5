import { createLogger } from '@persona-ingest/service'
import t from 'tap'
import { queueListeners } from '../../src/watchdog.ts'

type Line = { readonly level: string; readonly msg: string; readonly fault?: string; readonly count?: number }

function reporting(level: string) {
  const lines: Line[] = []
  const destination = { write: (line: string) => void lines.push(JSON.parse(line) as Line) }
  const counted: number[] = []
  const logger = createLogger({ app: 'worker', level, destination })
  const deferred: (readonly [string, string])[] = []
  const { onError, onUnencrypted, onUndecryptable } = queueListeners({
    logger,
    end: () => undefined,
    metrics: {
      unencrypted: { inc: (deliveries) => void counted.push(deliveries) },
      deferred: { inc: ({ reason, key_id }) => void deferred.push([reason, key_id]) },
    },
  })
  return { lines, report: onError, onUnencrypted, counted, onUndecryptable, deferred }
}

t.test(
  'a trouble that repeats itself is one line, whatever each time names; another kind is told beside it',
  async (t) => {
    const { lines, report } = reporting('info')
    for (let index = 0; index < 200; index += 1)
      report(Object.assign(new Error(`lost ${index}`), { code: 'ECONNREFUSED' }))
    report(Object.assign(new Error('OOM command not allowed'), { name: 'ReplyError' }))
    report(new Error('Connection is closed.'))
    t.strictSame(lines.map(({ level, fault, count }) => [level, fault, count]), [
    ['warn', 'ECONNREFUSED', 1],
    ['warn', 'OOM', 1],
    ['warn', 'Error', 1],
  ]) // prettier-ignore
  },
)

t.test('at debug every one is told', async (t) => {
  const { lines, report } = reporting('debug')
  for (let index = 0; index < 3; index += 1) report(new Error(`lost ${index}`))
  t.equal(lines.filter(({ msg }) => msg === 'trouble with the queue').length, 3)
})

t.test('unencrypted deliveries are counted one by one, and logged once per interval', async (t) => {
  const { lines, onUnencrypted, counted } = reporting('info')
  for (const deliveries of [1, 50, 2]) onUnencrypted(deliveries)
  t.strictSame(counted, [1, 50, 2])
  t.match(lines, [{ level: 'warn', jobs: 1, msg: /set QUEUE_ENCRYPTION_KEYS/ }])
  t.equal(lines.length, 1)
})

t.test('bodies that do not decrypt are named with job, events and keys, and counted one by one', async (t) => {
  const { lines, onUndecryptable, deferred } = reporting('info')
  const body = (eventId: string, keyId: string, isKeyHere: boolean) => ({
    eventId,
    requestId: undefined,
    keyId,
    isKeyHere,
  })
  onUndecryptable('g-3-x', [body('evt_1', 'a', true), body('evt_2', 'b', false)])
  t.strictSame(deferred, [
    ['not_decryptable', 'a'],
    ['key_missing', 'b'],
  ])
  t.match(lines, [{ level: 'error', jobId: 'g-3-x', eventIds: ['evt_1', 'evt_2'], keyIds: ['a', 'b'], deliveries: 2 }])
})
