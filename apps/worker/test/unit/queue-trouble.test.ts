import { createLogger } from '@persona-ingest/runtime'
import t from 'tap'
import { queueReports } from '../../src/queue-trouble.ts'

type Line = { readonly level: string; readonly msg: string; readonly fault?: string; readonly count?: number }

function reporting(level: string) {
  const lines: Line[] = []
  const destination = { write: (line: string) => void lines.push(JSON.parse(line) as Line) }
  const counted: number[] = []
  const logger = createLogger({ app: 'worker', level, destination })
  const { onError, onUnencrypted } = queueReports(logger, {
    end: () => undefined,
    countUnencrypted: (deliveries) => counted.push(deliveries),
  })
  return { lines, report: onError, onUnencrypted, counted }
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
