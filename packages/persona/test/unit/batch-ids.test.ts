import t from 'tap'
import { batchIds } from '../../src/index.ts'
import { anEvent, anObject, read, type Json } from '../model/event-document.ts'

const related = (type: string, id: string) => ({ data: { type, id } })

const batch = [
  anEvent({
    id: 'evt_b',
    data: anObject('inquiry', 'inq_2', {}, { account: related('account', 'act_1') }),
    included: [anObject('verification', 'ver_9'), anObject('inquiry', 'inq_1')],
  }),
  anEvent({ id: 'evt_a', data: anObject('verification', 'ver_1', {}, { inquiry: related('inquiry', 'inq_10') }) }),
  anEvent({ id: 'evt_c', data: anObject('inquiry', 'inq_2') }),
].map((event: Json) => read(event))

t.test('a batch touches its objects, the referenced ones, and the inquiries that are claimed, sorted', async (t) => {
  const expected = {
    eventIds: ['evt_a', 'evt_b', 'evt_c'],
    objectIds: ['act_1', 'inq_1', 'inq_10', 'inq_2', 'ver_1', 'ver_9'],
    inquiryIds: ['inq_1', 'inq_10', 'inq_2'],
  }
  t.strictSame(batchIds(batch), expected)
  t.strictSame(batchIds(batch.toReversed()), expected, 'in whatever order they come')
})

t.test('an empty batch touches nothing', async (t) => {
  t.strictSame(batchIds([]), { eventIds: [], objectIds: [], inquiryIds: [] })
})
