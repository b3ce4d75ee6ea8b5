import { everyRow, marksIn } from '@persona-ingest/testkit'
import t from 'tap'
import { aDatabase } from '../fixtures/a-database.ts'
import { anEvent, anObject, bodyOf, related, type EventParts } from '../fixtures/an-event.ts'

const database = await aDatabase(t)
const { row, sql, store, keepDeadLetter, deliver } = database
t.beforeEach(() => database.empty())

const at = (second: number) => `2026-02-03T10:00:0${second}.000Z`

let marks: string[] = []
t.beforeEach(() => void (marks = []))
function mark(place: string): string {
  const text = `MARK-${place}-${marks.length}`
  marks.push(text)
  return text
}
const found = async () => marksIn(await everyRow(sql), marks)

const personal = (type: string, id: string) =>
  anObject(type, id, {
    attributes: {
      [mark('key')]: 1,
      'reference-id': mark('reference'),
      fields: { [mark('field')]: mark('value') },
      status: 'open',
      'created-at': at(1),
    },
    relationships: { owner: { ...related(['account', 'act_9']), meta: mark('meta') } },
  })

/** Events in which an object stands, in every place. */
function eventsWith(type: string, id: string, suffix = ''): EventParts[] {
  return [
    {
      id: `evt_1${suffix}`,
      createdAt: at(1),
      name: `${type}.created`,
      data: personal(type, id),
      included: [{ type: 'note', attributes: { text: mark('no-id') } }],
      extra: { context: { step: mark('context') } },
    },
    { id: `evt_2${suffix}`, createdAt: at(2), name: 'report/x.ready', data: anObject('report/x', 'rep_1'), included: [personal(type, id)] }, // prettier-ignore
    {
      id: `evt_3${suffix}`,
      createdAt: at(3),
      data: anObject('inquiry', 'inq_1', { relationships: { x: related([type, id]) } }),
      included: [personal(type, id)],
      // Its bytes are kept beside the payload.
      extra: { nul: '\u0000' },
    },
  ]
}

for (const [type, id] of [
  ['account', 'act_1'],
  ['transaction', 'txn_1'],
  ['case', 'case_1'],
] as const) {
  const redactions: readonly EventParts[] = [
    { name: `${type}.redacted`, data: anObject(type, id) },
    { name: `${type}.updated-fields`, data: anObject(type, id, { attributes: { 'redacted-at': at(6) } }) },
    { name: 'inquiry.approved', included: [anObject(type, id, { attributes: { 'redacted-at': at(6) } })] },
  ]
  t.test(`a redaction of a(n) ${type} erases its copies wherever they stand`, async (t) => {
    for (const told of redactions) {
      await database.empty()
      marks = []
      await store(...eventsWith(type, id))
      for (const event of eventsWith(type, id, '_letter'))
        await keepDeadLetter({
          eventId: event.id ?? null,
          reason: 'VALUE_REFUSED',
          attempts: 1,
          body: bodyOf(anEvent(event)),
        })
      t.strictSame(await found(), marks)
      await store({ id: 'evt_6', createdAt: at(6), ...told })
      t.strictSame(await found(), [], 'what was stored')
      await store(...eventsWith(type, id, '_late'))
      t.strictSame(await found(), [], 'what is older and arrives later')
      t.strictSame(await row('SELECT type, status FROM resources WHERE id = $1', [id]), { type, status: 'open' })
    }
  })

  t.test(`a redaction of a(n) ${type} leaves newer copies and other objects as told`, async (t) => {
    const event = { name: `${type}.updated-fields`, data: personal(type, id) }
    await store({ ...event, id: 'evt_1', createdAt: at(1), included: [personal('report/x', 'rep_1')] })
    const ofOthers = marks.slice(5)
    await store({ id: 'evt_6', createdAt: at(6), name: `${type}.redacted`, data: anObject(type, id) })
    t.strictSame(await found(), ofOthers)
    await store({ id: 'evt_7', createdAt: at(7), ...event })
    t.strictSame(
      await found(),
      marks.filter((text) => !text.includes('no-id')),
    )
  })
}

t.test('an inquiry in the events of a redacted account is not redacted with it', async (t) => {
  const inquiry = personal('inquiry', 'inq_1')
  await store({ id: 'evt_1', createdAt: at(1), name: 'account.created', data: anObject('account', 'act_1'), included: [inquiry] }) // prettier-ignore
  await store({ id: 'evt_6', createdAt: at(6), name: 'account.redacted', data: anObject('account', 'act_1') })
  t.strictSame(await found(), marks)
})

t.test('bytes that are no event lose what they name as an id, too', async (t) => {
  const body = { inquiry: { id: 'inq_1' }, passport: { id: mark('number') }, name: mark('name') }
  const cut = () => Buffer.from(JSON.stringify(body).slice(0, -1))
  await keepDeadLetter({ body: cut() })
  await keepDeadLetter({ body: Buffer.from(`${cut().toString()} `) })
  t.strictSame(await found(), marks)
  await store({ id: 'evt_6', createdAt: at(6), name: 'inquiry.redacted' })
  t.strictSame(await found(), [])
  t.equal((await sql('SELECT DISTINCT body FROM dead_letters')).length, 2, 'and stay apart from each other')
  await keepDeadLetter({ body: cut() })
  t.strictSame(await found(), [], 'once more')
  t.equal((await sql('SELECT 1 FROM dead_letters')).length, 2)
})

t.test('a row is erased even where its event is in the log no more', async (t) => {
  const included = [personal('verification/selfie', 'ver_1'), personal('report/x', 'rep_1')]
  await store({ id: 'evt_4', createdAt: at(4), included })
  await sql('DELETE FROM events')
  t.ok((await found()).length > 0)
  await store({ id: 'evt_6', createdAt: at(6), name: 'inquiry.redacted' })
  t.strictSame(await found(), [])
  const owner = { owner: { type: 'account', id: 'act_9' } }
  t.strictSame(await row(`SELECT status, relationships FROM resources WHERE id = 'rep_1'`), {
    status: 'open',
    relationships: owner,
  })
})

t.test('what was redacted and goes on is redacted again and again', async (t) => {
  // Its snapshots go on telling the redaction, so that each erases the one before.
  const redacted = (second: number) => {
    const attributes = { 'redacted-at': at(1), note: mark(`note-${second}`) }
    return { id: `evt_${second}`, createdAt: at(second), data: anObject('inquiry', 'inq_1', { attributes }) }
  }
  for (const second of [3, 1, 5, 2, 4]) await store(redacted(second))
  t.strictSame(
    await found(),
    marks.filter((text) => text.includes('note-5')),
  )
})

t.test('a page of events is not all there is', async (t) => {
  const events = Array.from({ length: 120 }, (_, index) => {
    const included = [personal('account', 'act_1')]
    return { id: `evt_${index}`, createdAt: at(index % 5), data: anObject('inquiry', `inq_${index}`), included }
  })
  await deliver(...events.map((event) => ({ body: bodyOf(anEvent(event)) })))
  await store({ id: 'evt_redaction', createdAt: at(6), name: 'account.redacted', data: anObject('account', 'act_1') })
  t.strictSame(await found(), [])
})
