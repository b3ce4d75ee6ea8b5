import t from 'tap'
import { CodedError } from '@persona-ingest/core'
import { createLogger, RepeatedLine } from '../../src/index.ts'

const MARK = 'marked-value'

function capture(level = 'info') {
  const lines: string[] = []
  const logger = createLogger({ app: 'probe', level, destination: { write: (line) => void lines.push(line) } })
  return { logger, lines, last: () => JSON.parse(lines.at(-1)!) as Record<string, unknown> }
}

t.test('a line is one JSON object with app, level, time, ids and sentence', async (t) => {
  const { logger, lines, last } = capture()
  logger.child({ requestId: 'r1' }).info({ eventId: 'evt_1' }, 'event accepted')
  t.match(last(), { level: 'info', app: 'probe', requestId: 'r1', eventId: 'evt_1', msg: 'event accepted' })
  t.match(last()['time'], /^\d{4}-\d\d-\d\dT.*Z$/)
  t.equal(lines.length, 1)
  t.match(lines[0], /^[^\n]*\n$/)
})

t.test('levels below the chosen one and silent write nothing', async (t) => {
  const { logger, lines } = capture('warn')
  logger.info('no')
  const silent = capture('silent')
  silent.logger.fatal('no')
  t.same([...lines, ...silent.lines], [])
})

t.test('what should never have been logged is caught by the net', async (t) => {
  const { logger, lines } = capture('trace')
  logger.info({ body: MARK, payload: { a: MARK }, headers: { a: MARK }, request: { headers: MARK, body: MARK } }, 'x')
  logger.info({ REDIS_URL: MARK, env: { PERSONA_WEBHOOK_SECRETS: [MARK], DATABASE_URL: MARK }, ip: MARK }, 'x')
  logger.child({ secret: MARK }).info({ event: { attributes: { name: MARK }, fields: MARK } }, 'x')
  t.equal(lines.length, 3)
  t.notMatch(lines.join(''), MARK)
})

t.test('an error never lends its message to the sentence', async (t) => {
  const { logger, lines, last } = capture()
  logger.error(new Error(MARK))
  t.match(last(), { msg: 'error', err: { type: 'Error' } })
  logger.error({ err: new Error(MARK) })
  t.match(last(), { msg: 'error' })
  logger.error({ err: new Error(MARK), requestId: 'r' }, `failed: ${MARK}`)
  t.match(last(), { msg: 'error', requestId: 'r' })
  logger.error({ err: new Error(MARK) }, 'constant sentence')
  t.match(last(), { msg: 'constant sentence' })
  logger.error(new Error(MARK), 'constant sentence')
  t.match(last(), { msg: 'constant sentence', err: { type: 'Error' } })
  t.notMatch(lines.join(''), MARK)
})

t.test("our own error's message stands under err", async (t) => {
  const { logger, last } = capture()
  logger.error({ err: new CodedError('A_CODE', 'what was expected') }, 'sentence')
  t.match(last(), { msg: 'sentence', err: { code: 'A_CODE', message: 'what was expected' } })
})

t.test('the first of a repeated line is written at once, repetitions are counted until the time is over', async (t) => {
  const written: [string, number][] = []
  const line = new RepeatedLine<string>({ everyMs: 60_000, write: (key, count) => written.push([key, count]) })
  for (let i = 0; i < 5; i += 1) line.note('a')
  line.note('b')
  t.same(written, [
    ['a', 1],
    ['b', 1],
  ])
})

t.test('the next of a repeated line holds the number of calls since', async (t) => {
  const written: number[] = []
  const clock = t.capture(performance, 'now', () => nowMs)
  let nowMs = 0
  const line = new RepeatedLine<string>({ everyMs: 1000, write: (_key, count) => written.push(count) })
  line.note('a')
  nowMs = 999
  line.note('a')
  line.note('a')
  nowMs = 1000
  line.note('a')
  clock.restore()
  t.same(written, [1, 3])
})
