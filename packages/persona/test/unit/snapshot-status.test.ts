import t from 'tap'
import { statusByEventName } from '../../src/snapshot.ts'
import { anEvent, anObject, read, type Json } from '../model/event-document.ts'

const FIXED = {
  'inquiry.created': 'created',
  'inquiry.started': 'pending',
  'inquiry.completed': 'completed',
  'inquiry.failed': 'failed',
  'inquiry.expired': 'expired',
  'inquiry.approved': 'approved',
  'inquiry.declined': 'declined',
  'inquiry.marked-for-review': 'needs_review',
  'verification.created': 'initiated',
  'verification.submitted': 'submitted',
  'verification.passed': 'passed',
  'verification.failed': 'failed',
  'verification.canceled': 'canceled',
  'verification.skipped': 'skipped',
  'verification.requires-retry': 'requires_retry',
}
const TYPES = { inquiry: 'inquiry', verification: 'verification/selfie' } as const

/** The status told of the object in `payload.data`. */
function statusTold(name: string, type: string, attributes: Json): string | null {
  return read(anEvent({ name, data: anObject(type, 'x_1', attributes) })).primary.status
}

t.test('an event name fixes the status of an object of its own family that tells none', async (t) => {
  for (const [name, status] of Object.entries(FIXED)) {
    const family = name.split('.', 1)[0] as keyof typeof TYPES
    const other = family === 'inquiry' ? 'verification' : 'inquiry'
    t.equal(statusByEventName(name, family), status, name)
    t.equal(statusByEventName(name, other), null, name)
    t.equal(statusByEventName(name, 'resource'), null, name)
    t.equal(statusTold(name, TYPES[family], {}), status, name)
    t.equal(statusTold(name, TYPES[other], {}), null, `${name} about another family`)
    t.equal(statusTold(name, 'account', {}), null, `${name} about an account`)
  }
})

t.test('other event names fix no status', async (t) => {
  const names = [
    'inquiry.transitioned',
    'inquiry.redacted',
    'inquiry.updated-tags',
    'inquiry.resumed',
    'verification.escalated',
    'verification.tentatively-passed',
    'verification.approved',
    'inquiry.passed',
    'inquiry.marked_for_review',
    'case.created',
    'resource.created',
  ]
  for (const name of names)
    for (const family of ['inquiry', 'verification', 'resource'])
      t.equal(statusByEventName(name, family), null, `${name} ${family}`)
})

t.test('a status told by the attributes counts before the name', async (t) => {
  t.equal(statusTold('inquiry.approved', 'inquiry', { status: 'declined' }), 'declined')
  t.equal(statusTold('inquiry.approved', 'inquiry', { status: 'a status of tomorrow' }), 'a status of tomorrow')
  t.equal(statusTold('case.created', 'case', { status: 'Waiting on UBOs' }), 'Waiting on UBOs')
})

t.test('the name tells the status only where the attribute is missing or null', async (t) => {
  for (const attributes of [{}, { status: null }, null, 'text', [], 5, true] as const)
    t.equal(statusTold('inquiry.declined', 'inquiry', attributes), 'declined', JSON.stringify(attributes))
  for (const status of ['', 0, 1, true, false, {}, [], ['approved'], { value: 'approved' }])
    t.equal(statusTold('inquiry.declined', 'inquiry', { status }), null, JSON.stringify(status))
})

t.test('the name tells nothing of an included object', async (t) => {
  const event = read(anEvent({ name: 'inquiry.declined', included: [anObject('inquiry', 'inq_2')] }))
  t.equal(event.primary.status, 'declined')
  t.equal(event.included[0]?.status, null)
})
