import { START_MS, type AbstractErasure, type AbstractEvent, type AbstractObject } from './history.ts'

/** Hand-made lifecycles of six events, or of events and erasures, each with what makes order hard. All permutations of them are delivered. */
type Told = Partial<Omit<AbstractObject, 'id' | 'type'>>

let secrets = 0
function object(id: string, type: string, told: Told = {}): AbstractObject {
  secrets += 1
  return { id, type, status: undefined, secret: `marked-${secrets}`, redactedAt: null, relations: [], ...told }
}
const inquiry = (id: string, told: Told = {}): AbstractObject => object(id, 'inquiry', told)
const selfie = (id: string, told: Told = {}): AbstractObject => object(id, 'verification/selfie', told)
const toInquiry = (id: string) => [{ name: 'inquiry', id, type: 'inquiry' }]

function event(
  index: number,
  name: string,
  offsetMs: number,
  primary: AbstractObject,
  included: AbstractObject[] = [],
): AbstractEvent {
  return { id: `evt_${index}`, name, createdAtMs: START_MS + offsetMs, primary, included }
}

const erasure = (erasedId: string, type: string, offsetMs: number): AbstractErasure => {
  return { erasedId, type, createdAtMs: START_MS + offsetMs }
}

export const lifecycles: Readonly<Record<string, readonly (AbstractEvent | AbstractErasure)[]>> = {
  'approved, the last three in one millisecond': [
    event(1, 'inquiry.created', 0, inquiry('inq_1', { status: 'created' })),
    event(2, 'inquiry.started', 10, inquiry('inq_1', { status: 'pending' })),
    event(3, 'verification.created', 10, selfie('ver_1', { relations: toInquiry('inq_1') })),
    event(4, 'verification.passed', 20, selfie('ver_1', { status: 'passed' })),
    event(5, 'inquiry.completed', 20, inquiry('inq_1', { status: 'completed' })),
    event(6, 'inquiry.approved', 20, inquiry('inq_1', { status: 'approved' })),
  ],
  'expired, resumed and decided twice, statuses told by names alone': [
    event(1, 'inquiry.created', 0, inquiry('inq_1')),
    event(2, 'inquiry.expired', 10, inquiry('inq_1')),
    event(3, 'inquiry.started', 20, inquiry('inq_1')),
    event(4, 'inquiry.approved', 30, inquiry('inq_1')),
    event(5, 'inquiry.declined', 40, inquiry('inq_1')),
    event(6, 'inquiry.updated-tags', 50, inquiry('inq_1')),
  ],
  'redacted, with older and newer events, a link told only once': [
    event(1, 'inquiry.created', 0, inquiry('inq_1'), [object('act_1', 'account')]),
    event(2, 'verification.passed', 10, selfie('ver_1', { status: 'passed' })),
    event(3, 'inquiry.approved', 20, inquiry('inq_1', { status: 'approved' }), [selfie('ver_1')]),
    event(4, 'account.created', 25, object('act_1', 'account')),
    event(5, 'inquiry.redacted', 30, inquiry('inq_1', { redactedAt: '2026-01-01T00:00:00.000Z' })),
    event(6, 'verification.passed', 40, selfie('ver_1')),
  ],
  'told as a verification, as an inquiry, as a report and as a verification again, claimed in between': [
    event(1, 'verification.created', 0, selfie('odd_1', { relations: toInquiry('inq_1') })),
    event(2, 'inquiry.created', 10, inquiry('odd_1', { status: 'created' })),
    event(3, 'verification.passed', 30, selfie('odd_1', { status: 'passed' })),
    event(
      4,
      'inquiry.created',
      5,
      inquiry('inq_2', { relations: [{ name: 'verifications', id: 'odd_1', type: 'verification/selfie' }] }),
    ),
    event(5, 'report/profile.ready', 20, object('odd_1', 'report/profile')),
    event(6, 'inquiry.started', 25, inquiry('odd_1'), [object('rep_1', 'report/profile')]),
  ],
  'known by references of every table, claimed, and told once': [
    event(
      1,
      'account.created',
      0,
      object('act_1', 'account', { relations: [{ name: 'x', id: 'odd_1', type: 'inquiry' }] }),
    ),
    event(
      2,
      'inquiry.created',
      10,
      inquiry('inq_1', { relations: [{ name: 'verifications', id: 'odd_1', type: 'verification/selfie' }] }),
    ),
    event(
      3,
      'account.created',
      20,
      object('act_1', 'account', { relations: [{ name: 'x', id: 'odd_1', type: 'report/profile' }] }),
    ),
    event(
      4,
      'account.created',
      30,
      object('act_1', 'account', { relations: [{ name: 'x', id: 'odd_1', type: 'inquiry' }] }),
    ),
    event(
      5,
      'account.created',
      40,
      object('act_1', 'account', { relations: [{ name: 'x', id: 'odd_1', type: 'verification/database' }] }),
    ),
    event(6, 'inquiry.created', 5, inquiry('odd_1', { status: 'created' })),
  ],
  'one object claimed by two inquiries, one of them redacted': [
    event(1, 'inquiry.created', 0, inquiry('inq_1'), [selfie('ver_1')]),
    event(
      2,
      'inquiry.created',
      10,
      inquiry('inq_2', { relations: [{ name: 'verifications', id: 'ver_1', type: 'verification/selfie' }] }),
    ),
    event(3, 'verification.passed', 20, selfie('ver_1', { relations: toInquiry('inq_2') })),
    event(4, 'inquiry.transitioned', 30, inquiry('inq_1', { redactedAt: '2026-01-01T00:00:00.000Z' })),
    event(5, 'verification.passed', 25, selfie('ver_1', { relations: toInquiry('inq_1') })),
    event(6, 'inquiry.approved', 40, inquiry('inq_2'), [selfie('ver_1')]),
  ],
  'known by reference first, under types that disagree': [
    event(
      1,
      'inquiry.created',
      0,
      inquiry('inq_1', { relations: [{ name: 'verifications', id: 'odd_1', type: 'verification/basic' }] }),
    ),
    event(
      2,
      'inquiry.started',
      10,
      inquiry('inq_1', { relations: [{ name: 'reports', id: 'odd_1', type: 'report/profile' }] }),
    ),
    event(
      3,
      'inquiry.transitioned',
      20,
      inquiry('inq_1', { relations: [{ name: 'documents', id: 'odd_1', type: 'document/generic' }] }),
    ),
    event(4, 'verification.created', 15, object('odd_1', 'verification/database')),
    event(5, 'report/profile.ready', 5, object('odd_1', 'report/profile', { status: 'ready' })),
    event(6, 'inquiry.approved', 30, inquiry('inq_1'), [object('act_1', 'account')]),
  ],
  // Found by the random histories (seed 444408): a newer redaction of the one inquiry must not reduce the snapshot that
  // tells the other's, which stands in an event about the first.
  'two inquiries redacted by one event, one of them again later': [
    event(1, 'inquiry.created', 0, inquiry('inq_1', { status: 'created' })),
    event(2, 'inquiry.redacted', 10, inquiry('inq_2', { redactedAt: '2026-01-01T00:00:00.000Z' }), [
      inquiry('inq_1', { status: 'approved', redactedAt: '2026-01-01T00:00:00.000Z' }),
    ]),
    event(3, 'inquiry.updated-tags', 20, inquiry('inq_2', { redactedAt: '2026-01-01T00:00:00.000Z' })),
    event(4, 'verification.passed', 5, selfie('ver_1', { relations: toInquiry('inq_1') })),
    event(5, 'inquiry.created', 0, inquiry('inq_2')),
    event(6, 'verification.created', 15, selfie('ver_1', { relations: toInquiry('inq_2') })),
  ],
  'an account redacted in the event of an inquiry, and by one of its own': [
    event(1, 'account.created', 0, object('act_1', 'account')),
    event(2, 'inquiry.created', 5, inquiry('inq_1'), [object('act_1', 'account'), selfie('ver_1')]),
    event(3, 'inquiry.updated-tags', 10, inquiry('inq_1'), [object('act_1', 'account', { redactedAt: '' })]),
    event(4, 'account.updated-fields', 15, object('act_1', 'account'), [inquiry('inq_2')]),
    event(5, 'account.redacted', 20, object('act_1', 'account')),
    event(6, 'account.updated-fields', 30, object('act_1', 'account')),
  ],
  'an inquiry erased by our own word before it is redacted, an object claimed late': [
    event(1, 'inquiry.created', 0, inquiry('inq_1'), [object('act_1', 'account')]),
    event(2, 'verification.passed', 10, selfie('ver_1', { status: 'passed' })),
    erasure('inq_1', 'inquiry', 10),
    event(4, 'inquiry.redacted', 5, inquiry('inq_1', { redactedAt: '2026-01-01T00:00:00.000Z' })),
    event(5, 'inquiry.approved', 11, inquiry('inq_1', { status: 'approved' }), [selfie('ver_1')]),
  ],
}
