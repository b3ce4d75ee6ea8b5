import { Webhook } from 'standardwebhooks'
import t from 'tap'
import { bodyOf, createSigner, messageIdOf } from '../../src/message.ts'
import { SECRET } from '../fixtures/a-receiver.ts'

const change = {
  family: 'verification',
  objectId: 'ver_1',
  inquiryId: 'inq_1',
  version: 7n,
  cause: 'replay',
  eventId: null,
  status: 'passed',
  previousStatus: 'submitted',
  changedAt: new Date('2026-11-01T10:00:00.120Z'),
}

t.test('a body has the type, the time and the columns of its change', async (t) => {
  t.equal(
    bodyOf(change),
    '{"type":"verification.changed","timestamp":"2026-11-01T10:00:00.120Z","data":{"id":"ver_1","inquiryId":"inq_1",' +
      '"version":7,"status":"passed","previousStatus":"submitted","cause":"replay","eventId":null}}',
  )
})

t.test('an id is that of a version of an object for a consumer', async (t) => {
  const id = messageIdOf('notifier', change)
  t.match(id, /^msg_[\w-]{32}$/)
  t.equal(messageIdOf('notifier', { ...change, status: 'other' }), id)
  const others = [
    messageIdOf('other', change),
    messageIdOf('notifier', { ...change, objectId: 'ver_2' }),
    messageIdOf('notifier', { ...change, version: 8n }),
    messageIdOf('notifier', { ...change, changedAt: new Date(0) }),
  ]
  t.equal(new Set([id, ...others]).size, 5)
})

t.test('a signature of each secret verifies', async (t) => {
  const other = 'whsec_bmV3LW5ldy1uZXctbmV3LW5ldy0='
  const body = bodyOf(change)
  const headers = createSigner([SECRET, other])({ id: 'msg_1', body, nowMs: Date.now() })
  for (const secret of [SECRET, other]) t.same(new Webhook(secret).verify(body, headers), JSON.parse(body))
  t.throws(() => new Webhook(SECRET).verify(body.replace('passed', 'failed'), headers))
})
