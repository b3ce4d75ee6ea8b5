import { KeyRing, NO_KEYS } from '@persona-ingest/core'
import t from 'tap'
import { readLogRow, type LogRow } from '../../src/rebuild/faulty-events.ts'
import { DecryptionError, encryptDocument } from '../../src/sql/row-values.ts'
import { anEvent, anObject } from '../fixtures/an-event.ts'
import { aKey } from '../fixtures/some-keys.ts'

const [withA, withB, withOtherA] = [new KeyRing([aKey('a')]), new KeyRing([aKey('b')]), new KeyRing([aKey('a')])]
const payload = JSON.stringify(anEvent({ data: anObject('verification/selfie', 'ver_1') }))

function logRow(changed: Partial<LogRow> = {}): LogRow {
  return {
    id: 'evt_1',
    payload,
    environment: 'production',
    receivedAtMs: Date.UTC(2026, 1, 3, 10, 0, 30),
    name: 'inquiry.transitioned',
    resourceType: 'verification/selfie',
    resourceId: 'ver_1',
    createdAtMs: Date.UTC(2026, 1, 3, 10),
    ...changed,
  }
}

t.test('a row that agrees with its payload is an event', async (t) => {
  t.match(readLogRow(logRow(), NO_KEYS), { event: { id: 'evt_1', primary: { id: 'ver_1' } } })
})

t.test('a row is faulty in the columns that contradict its payload', async (t) => {
  const cases: readonly (readonly [changed: Partial<LogRow>, columns: readonly string[]])[] = [
    [{ name: 'x' }, ['name']],
    [{ createdAtMs: 0 }, ['created_at']],
    [{ resourceType: 'verification' }, ['resource_type']],
    [{ resourceId: 'ver_2' }, ['resource_id']],
    [{ name: 'x', createdAtMs: 0, resourceType: 'x', resourceId: 'x' }, ['name', 'created_at', 'resource_type', 'resource_id']], // prettier-ignore
    [{ id: 'evt_2', name: 'x' }, ['payload']],
    [{ payload: '{}' }, ['payload']],
    [{ payload: 'no JSON' }, ['payload']],
  ]
  for (const [changed, columns] of cases) {
    const row = logRow(changed)
    t.strictSame(readLogRow(row, NO_KEYS), { faulty: { id: row.id, columns } }, columns.join(' '))
  }
})

t.test('an encrypted payload that was changed is faulty, one without its key ends the reading', async (t) => {
  const encrypted = logRow({ payload: encryptDocument(payload, ['events', 'evt_1', 'payload'], withA) })
  t.match(readLogRow(encrypted, withA), { event: { id: 'evt_1' } })
  t.strictSame(readLogRow(encrypted, withOtherA), { faulty: { id: 'evt_1', columns: ['payload'] } })
  for (const keys of [withB, NO_KEYS]) t.throws(() => readLogRow(encrypted, keys), DecryptionError)
})
