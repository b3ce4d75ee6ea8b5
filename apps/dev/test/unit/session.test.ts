import t from 'tap'
import { Session } from '../../src/session.ts'

function aSession() {
  const said: string[] = []
  return { said, session: new Session({ say: (text) => said.push(text), stop: new AbortController() }) }
}

t.test('what was opened last is closed first, once, and one failure leaves nothing open', async (t) => {
  const { session, said } = aSession()
  const closed: string[] = []
  await session.opening('first', async (name) => closed.push(name))
  await session.opening('second', () => Promise.reject(new Error('second does not close')))
  await session.opening(Promise.resolve('third'), async (name) => closed.push(name))
  t.equal(await session.close(), false)
  t.same(closed, ['third', 'first'])
  t.same(said, ['second does not close'])
  t.equal(await session.close(), true)
})

t.test('what opens while a stop is requested is closed all the same', async (t) => {
  const { session } = aSession()
  const reason = new Error('enough')
  const closed: string[] = []
  const opening = session.opening(Promise.resolve('late'), async (name) => closed.push(name))
  session.stop(reason)
  await t.rejects(opening, reason)
  await t.rejects(session.untilStopped(), reason)
  t.equal(await session.close(), true)
  t.same(closed, ['late'])
})
