import { connect } from 'node:net'
import { once } from 'node:events'
import t from 'tap'
import { CodedError } from '@persona-ingest/core'
import { describeError } from '../../src/index.ts'

const MARK = 'marked-value'

t.test('an error of our own keeps name, code and message', async (t) => {
  t.match(describeError(new CodedError('QUEUE_AWAY', 'the queue is away')), {
    type: 'CodedError',
    code: 'QUEUE_AWAY',
    message: 'the queue is away',
    stack: /^\s+at .*describe-error\.test\.ts/,
  })
})

t.test('a foreign error keeps type, code and frames, never its message', async (t) => {
  const foreign = Object.assign(new TypeError(`cannot read ${MARK}\n    at ${MARK} of a second line`), {
    code: '22P02',
  })
  const described = describeError(foreign)
  t.match(described, { type: 'TypeError', code: '22P02', stack: /describe-error\.test\.ts/ })
  t.notOk('message' in described)
  t.notMatch(JSON.stringify(described), MARK)
})

t.test('JSON.parse quotes its text, the description does not', async (t) => {
  try {
    JSON.parse(`{"name": ${MARK}`)
    t.fail('parsed')
  } catch (error) {
    t.match(String(error), /marked/, 'the message does quote')
    t.notMatch(JSON.stringify(describeError(error)), /marked/)
  }
})

t.test('a system error keeps its message: it names an address only', async (t) => {
  const socket = connect({ port: 1, host: '127.0.0.1' })
  const [error] = (await once(socket, 'error').catch((reason: unknown) => [reason])) as [Error]
  t.match(describeError(error), { code: 'ECONNREFUSED', message: /127\.0\.0\.1:1/ })
})

t.test('causes and aggregated errors are described alike, to a limited depth', async (t) => {
  const inner = new Error(MARK)
  const outer = new CodedError('OUTER', 'outer', { cause: new AggregateError([inner, MARK], MARK) })
  t.match(describeError(outer), { cause: { type: 'AggregateError', errors: [{ type: 'Error' }, { type: 'string' }] } })
  t.notMatch(JSON.stringify(describeError(outer)), MARK)
  const loop = new Error('x')
  loop.cause = loop
  t.doesNotThrow(() => JSON.stringify(describeError(loop)))
})

t.test('what is no error tells its kind only', async (t) => {
  t.same(describeError(MARK), { type: 'string' })
  t.same(describeError(null), { type: 'object' })
})

t.test('a class named as our own keeps its message, a reply of Redis its first word only', async (t) => {
  class Named extends Error {}
  const reply = Object.assign(new Error(`OOM command not allowed: ${MARK}`), { name: 'ReplyError' })
  const described = describeError(new Named('our words', { cause: reply }), [Named])
  t.match(described, { message: 'our words', cause: { type: 'ReplyError', code: 'OOM' } })
  t.notMatch(JSON.stringify(described), MARK)
  t.notOk('message' in describeError(new Named('not told to be ours')))
})

t.test('what Redis calls ERR is told by the constant words after it, never by what follows them', async (t) => {
  const codeOf = (message: string) => describeError(Object.assign(new Error(message), { name: 'ReplyError' })).code
  t.equal(codeOf('ERR max number of clients reached'), 'ERR max number of clients reached')
  t.equal(codeOf(`ERR unknown command '${MARK}', with args beginning with: '${MARK}'`), 'ERR unknown command')
  t.equal(codeOf(`ERR something new about ${MARK}`), 'ERR')
  t.equal(codeOf(`WRONGPASS invalid username-password pair for ${MARK}`), 'WRONGPASS')
})
