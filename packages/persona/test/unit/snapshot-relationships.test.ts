import t from 'tap'
import type { Casing } from '../../src/attributes.ts'
import { parseExact } from '../../src/json.ts'
import { bareRelationships } from '../../src/redaction.ts'
import { readId, readRelationships, referencesOf, relatedId } from '../../src/snapshot.ts'
import { plain, type Json } from '../model/event-document.ts'

function relationships(value: Json, casing: Casing = 'kebab') {
  return readRelationships(parseExact(JSON.stringify(value)), casing)
}

t.test('an id is a text of 1 to 255 characters, counted as PostgreSQL counts them', async (t) => {
  for (const id of ['x', ' ', 'x'.repeat(255), '😀'.repeat(255), 'é'.repeat(255)]) t.equal(readId(id), id)
  for (const id of ['', 'x'.repeat(256), '😀'.repeat(256), `${'😀'.repeat(255)}x`, null, 5, true, [], {}, undefined])
    t.equal(readId(id), null, JSON.stringify(id))
})

t.test('relationships map each name to its data: an object, a list or null', async (t) => {
  const told = relationships({
    account: { data: { type: 'account', id: 'act_1' }, links: {} },
    'inquiry-template': { data: null },
    reports: { data: [] },
    sessions: { data: [{ type: 'inquiry-session', id: 'iqse_1' }] },
    reviewer: {},
    documents: { data: {} },
    selfies: null,
    transaction: 'x',
    template: { data: 'x' },
    devices: { data: 5 },
    networks: [],
  })
  t.strictSame(plain(told), {
    account: { type: 'account', id: 'act_1' },
    inquiry_template: null,
    reports: [],
    sessions: [{ type: 'inquiry-session', id: 'iqse_1' }],
    reviewer: null,
    documents: {},
    selfies: null,
    transaction: null,
    template: null,
    devices: null,
    networks: null,
  })
  for (const value of [null, 'x', 5, [], [{ account: {} }]]) t.strictSame(plain(relationships(value)), {})
  t.strictSame(plain(readRelationships(undefined, 'kebab')), {})
})

t.test('names and keys of relationships are snake_case in each casing', async (t) => {
  const expected = { inquiry_template: { id: 'x', type: 'inquiry-template', meta: { some_key: 'a-b' } } }
  const data = (key: string) => ({ data: { id: 'x', type: 'inquiry-template', meta: { [key]: 'a-b' } } })
  t.strictSame(plain(relationships({ 'inquiry-template': data('some-key') }, 'kebab')), expected)
  t.strictSame(plain(relationships({ inquiryTemplate: data('someKey') }, 'camel')), expected)
  t.strictSame(plain(relationships({ inquiry_template: data('some_key') }, 'snake')), expected)
})

t.test('every object that is named with an id and a type is a reference', async (t) => {
  const told = relationships({
    account: { data: { type: 'account', id: 'act_1' } },
    reports: { data: [{ type: 'report/x', id: 'rep_1' }, null, 'x', { type: 'report/x' }, { id: 'rep_2' }, []] },
    odd: { data: { type: '', id: 'odd_1' } },
    odder: { data: { type: 5, id: 'odd_2' } },
    oddest: { data: { type: 'x', id: 'x'.repeat(256) } },
  })
  t.strictSame(referencesOf(told), [
    { id: 'act_1', type: 'account' },
    { id: 'rep_1', type: 'report/x' },
  ])
})

t.test('a to-one relationship tells an id with or without a type', async (t) => {
  const told = relationships({ account: { data: { id: 'act_1' } }, list: { data: [{ type: 'x', id: 'y' }] } })
  t.equal(relatedId(told, 'account'), 'act_1')
  t.equal(relatedId(told, 'list'), null)
  t.equal(relatedId(told, 'absent'), null)
  t.equal(relatedId({}, 'constructor'), null)
})

t.test('bare relationships keep types and ids, and what rows and references are made of', async (t) => {
  const told = relationships({
    account: { data: { type: 'account', id: 'act_1', name: 'secret', meta: { x: 'secret' } } },
    list: { data: [{ type: 'x', id: 'y', name: 'secret' }, 'secret', null, { name: 'secret' }] },
    'without-type': { data: { id: 'z', name: 'secret' } },
    'without-id': { data: { type: 'secret' } },
    'wrong-kinds': { data: { type: { x: 'secret' }, id: ['secret'] } },
    empty: { data: {} },
    none: { data: null },
  })
  const bare = bareRelationships(told)
  t.strictSame(plain(bare), {
    account: { type: 'account', id: 'act_1' },
    list: [{ type: 'x', id: 'y' }, null, {}],
    without_type: { id: 'z' },
    without_id: {},
    wrong_kinds: {},
    empty: {},
    none: null,
  })
  t.strictSame(referencesOf(bare), referencesOf(told))
  t.equal(relatedId(bare, 'without_type'), relatedId(told, 'without_type'))
})
