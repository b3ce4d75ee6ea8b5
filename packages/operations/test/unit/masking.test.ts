import t from 'tap'
import { MASK, maskEventDocument, maskRow, maskValue } from '../../src/masking.ts'

t.test('a masked value keeps keys, lengths, kinds and null', async (t) => {
  t.strictSame(
    maskValue({ name: 'Zoe', list: ['a', ['b']], none: null, age: 40, adult: true, deep: { at: new Date() } }),
    {
      name: MASK,
      list: [MASK, [MASK]],
      none: null,
      age: `${MASK} number`,
      adult: `${MASK} boolean`,
      deep: { at: MASK },
    },
  )
})

t.test('a key that is no name is masked like a value, and hides no other', async (t) => {
  const masked = maskValue({ 'zoe@example.com': 1, '+81 90': 2, name_first: 3, 'contactWays-2': 4 })
  t.strictSame(Object.keys(masked as object), [`${MASK} 1`, `${MASK} 2`, 'name_first', 'contactWays-2'])
})

t.test('a row keeps the columns that are known as safe, and no other', async (t) => {
  const createdAt = new Date()
  const row = {
    id: 'inq_1',
    status: 'approved',
    created_at: createdAt,
    event_rank: 6,
    reference_id: 'Zoe',
    tags: ['Zoe'],
    country_code: 'JP',
    checks: [{ status: 'passed' }],
    column_of_the_future: 'Zoe',
    relationships: { account: { type: 'account', id: 'act_1', nickname: 'Zoe' }, none: null, odd: 'Zoe', many: [7] },
  }
  t.strictSame(maskRow(row) as unknown, {
    id: 'inq_1',
    status: 'approved',
    created_at: createdAt,
    event_rank: 6,
    reference_id: MASK,
    tags: [MASK],
    country_code: MASK,
    checks: [{ status: MASK }],
    column_of_the_future: MASK,
    relationships: {
      account: { type: 'account', id: 'act_1', nickname: MASK },
      none: null,
      odd: MASK,
      many: [`${MASK} number`],
    },
  })
})

const identity = { type: 'inquiry', id: 'inq_1' }

function document(casing: { createdAt: string; nameFirst: string; redactedAt: string }): object {
  const attributes = {
    status: 'approved',
    [casing.createdAt]: '2026-02-03T10:00:00Z',
    [casing.redactedAt]: 'Zoe',
    [casing.nameFirst]: 'Zoe',
    name: 'Zoe',
    id: 'Zoe',
    fields: { status: { value: 'Zoe' } },
  }
  const relationships = { account: { data: { type: 'account', id: 'act_1' } }, template: { data: null } }
  const payload = {
    data: { ...identity, attributes, relationships, meta: 'Zoe' },
    included: [{ ...identity, attributes }],
  }
  const envelope = {
    name: 'inquiry.approved',
    [casing.createdAt]: '2026-02-03T10:00:00Z',
    context: { name: 'Zoe' },
    payload,
  }
  return { data: { type: 'event', id: 'evt_1', attributes: envelope }, meta: 'Zoe' }
}

t.test('a masked document keeps ids, types, the name, times, statuses and relationships in every casing', async (t) => {
  for (const casing of [
    { createdAt: 'created-at', nameFirst: 'name-first', redactedAt: 'redacted-at' },
    { createdAt: 'createdAt', nameFirst: 'nameFirst', redactedAt: 'redactedAt' },
    { createdAt: 'created_at', nameFirst: 'name_first', redactedAt: 'redacted_at' },
  ]) {
    const told = document(casing)
    const masked = maskEventDocument(told)
    const expected = JSON.parse(JSON.stringify(told).replaceAll('"Zoe"', `"${MASK}"`))
    t.strictSame(masked, expected, casing.createdAt)
  }
})

t.test('a document that only claims to be an event shows nothing in the places of ids, types and names', async (t) => {
  const long = 'x'.repeat(300)
  const odd = {
    data: {
      id: 'Zoe Example',
      type: 'Zoe Example',
      attributes: {
        name: 'Zoe Example',
        'created-at': 'Zoe',
        payload: { data: { id: long, type: 5, attributes: { status: long, 'expired-at': 'Zoe' } }, included: 'Zoe' },
      },
    },
  }
  t.notMatch(JSON.stringify(maskEventDocument(odd)), /Zoe|xxx|5/)
  for (const value of ['Zoe', 5, true, ['Zoe'], { data: 'Zoe' }, { data: { attributes: 'Zoe' } }]) {
    t.notMatch(JSON.stringify(maskEventDocument(value)), /Zoe/)
  }
  t.equal(maskEventDocument(null), null)
})
