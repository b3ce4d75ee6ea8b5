import t from 'tap'
import type { Casing } from '../../src/attributes.ts'
import { parseExact } from '../../src/json.ts'
import { reducePayload } from '../../src/redaction.ts'
import { anEvent, anObject, edited, plain, relation, type Json, type JsonMap } from '../model/event-document.ts'
import { recased } from '../model/recase.ts'

/** A document of which every object keeps its skeleton only. */
function skeleton(document: Json, casing: Casing = 'kebab') {
  return plain(reducePayload(parseExact(JSON.stringify(document)), { casing, kind: 'redacted', isReduced: () => true }))
}

/** The skeleton of an object in `payload.data`. */
function skeletonOfObject(object: Json, casing: Casing = 'kebab') {
  const document = skeleton(anEvent({ data: object }), casing) as {
    data: { attributes: { payload: { data: JsonMap } } }
  }
  return document.data.attributes.payload.data
}

const TIMES = [
  'created-at',
  'updated-at',
  'started-at',
  'completed-at',
  'failed-at',
  'marked-for-review-at',
  'decisioned-at',
  'expired-at',
  'redacted-at',
  'submitted-at',
]

t.test('of attributes the status and the known times stay, whatever else there is', async (t) => {
  const times = Object.fromEntries(TIMES.map((name, day) => [name, `2026-01-0${(day % 9) + 1}T00:00:00.12345Z`]))
  const others = {
    'name-first': 'secret',
    'reference-id': 'secret',
    'created-at-ts': 1_770_112_921,
    'expires-at': '2026-01-01T00:00:00Z',
    birthdate: '1990-01-02',
    'an-attribute-of-tomorrow': 'secret',
    'status-reason': 'secret',
    statuses: ['secret'],
    fields: { status: 'secret', 'created-at': '2026-01-01T00:00:00Z' },
    tags: ['secret'],
    behaviors: { 'created-at': '2026-01-01T00:00:00Z' },
  }
  const timesOf = (...names: readonly string[]) =>
    Object.fromEntries(names.map((name) => [name, times[name] as string]))
  for (const [type, kept] of [
    ['inquiry', timesOf(...TIMES.slice(0, -1))],
    ['verification/selfie', timesOf('created-at', 'completed-at', 'redacted-at', 'submitted-at')],
    ['account', {}],
  ] as const)
    t.strictSame(
      skeletonOfObject(anObject(type, 'x', { ...others, status: 'approved', ...times })),
      anObject(type, 'x', { status: 'approved', ...kept }, {}),
      `${type}: the times that its rows have columns for`,
    )
})

t.test('a known attribute of a wrong kind goes', async (t) => {
  const wrong = ['secret', '', '2026-02-30T00:00:00Z', 1_770_112_921, true, null, { secret: 1 }, ['secret']]
  for (const value of wrong)
    t.strictSame(skeletonOfObject(anObject('inquiry', 'x', { 'created-at': value }))['attributes'], {})
  t.strictSame(skeletonOfObject(anObject('inquiry', 'x', { status: null }))['attributes'], {})
  for (const value of [5, true, { secret: 1 }, ['secret']])
    t.strictSame(
      skeletonOfObject(anObject('inquiry', 'x', { status: value }))['attributes'],
      { status: '' },
      'as much as a wrong kind tells: no status, whatever the name of the event says',
    )
})

t.test('of the object itself the type and the id stay', async (t) => {
  const object = {
    ...anObject('inquiry', 'x'),
    links: { self: 'secret' },
    meta: 'secret',
    Type: 'secret',
    ID: 'secret',
  }
  t.strictSame(skeletonOfObject(object), anObject('inquiry', 'x', {}, {}))
  t.strictSame(skeletonOfObject({ type: { secret: 1 }, id: ['secret'] }), { attributes: {}, relationships: {} })
  for (const attributes of ['secret', ['secret'], 5, null])
    t.strictSame(skeletonOfObject(anObject('inquiry', 'x', attributes)), anObject('inquiry', 'x', {}, {}))
})

t.test('of relationships the names, types and ids stay', async (t) => {
  const relationships = {
    account: { data: { type: 'account', id: 'act_1', meta: 'secret' }, links: 'secret', meta: 'secret' },
    'inquiry-template': { data: null },
    reports: { data: [{ type: 'report/x', id: 'rep_1', secret: 1 }, 'secret'] },
    reviewer: {},
    odd: 'secret',
    lists: { data: ['secret', 1, null, ['secret', [null], { id: 'x_1' }]] },
  }
  t.strictSame(skeletonOfObject(anObject('inquiry', 'x', {}, relationships))['relationships'], {
    account: { data: { type: 'account', id: 'act_1' } },
    'inquiry-template': { data: null },
    reports: { data: [{ type: 'report/x', id: 'rep_1' }] },
    reviewer: { data: null },
    odd: { data: null },
    lists: { data: [null, [[null], { id: 'x_1' }]] },
  })
  for (const wrong of ['secret', ['secret'], 5, null])
    t.strictSame(skeletonOfObject(anObject('inquiry', 'x', {}, wrong))['relationships'], {})
})

t.test('of the envelope the id, type, name and time stay', async (t) => {
  const document = {
    ...anEvent({
      data: anObject('inquiry', 'x'),
      extra: {
        context: { secret: 1 },
        'redacted-at': '2026-01-01T00:00:00Z',
        created_at: 'secret',
        createdAt: 'secret',
        Name: 'secret',
        Payload: 'secret',
      },
    }),
    links: 'secret',
    meta: 'secret',
  }
  t.strictSame(
    skeleton(edited(document, ['data', 'meta'], 'secret')),
    anEvent({ data: anObject('inquiry', 'x', {}, {}) }),
  )
})

t.test('in a camelCase body no other spelling of the name, the time or the payload stays', async (t) => {
  const expected = recased(anEvent({ data: anObject('inquiry', 'x', {}, {}) }), 'camel')
  let document = recased(anEvent({ data: anObject('inquiry', 'x', { nameFirst: 'secret' }) }), 'camel')
  for (const key of ['Name', 'NAME', 'Payload', 'CreatedAt', 'created-at', 'created_at'])
    document = edited(document, ['data', 'attributes', key], key.startsWith('created') ? null : { secret: 1 })
  t.strictSame(skeleton(document, 'camel'), expected)
})

t.test('an included list keeps its places, and what is no list goes', async (t) => {
  const included = [anObject('case', 'c', { secret: 1 }), 'secret', null, ['secret'], { secret: 1 }]
  const document = skeleton(anEvent({ data: anObject('inquiry', 'x'), included }))
  t.strictSame(
    document,
    anEvent({
      data: anObject('inquiry', 'x', {}, {}),
      included: [anObject('case', 'c', {}, {}), null, null, null, { attributes: {}, relationships: {} }],
    }),
  )
  for (const wrong of ['secret', { a: 'secret' }, null])
    t.strictSame(
      skeleton(anEvent({ data: anObject('inquiry', 'x'), included: wrong })),
      anEvent({ data: anObject('inquiry', 'x', {}, {}) }),
    )
})

t.test('a skeleton is spelt in the casing of its body', async (t) => {
  const document = anEvent({
    data: anObject(
      'inquiry',
      'x',
      { 'marked-for-review-at': '2026-01-01T00:00:00Z', status: 'approved', 'name-first': 'secret' },
      { 'inquiry-template': relation(['inquiry-template', 'itmpl_1']) },
    ),
  })
  const expected = skeleton(document) as Json
  t.match(JSON.stringify(expected), /"inquiry-template":.*itmpl_1/)
  for (const casing of ['kebab', 'camel', 'snake'] as const)
    t.strictSame(skeleton(recased(document, casing), casing), recased(expected, casing), casing)
})

t.test('in a camelCase body an identifier is read by its own casing, so that its reference stays', async (t) => {
  const data = anObject('inquiry', 'x', {}, { account: { data: { Type: 'account', Id: 'act_1' } } })
  t.strictSame(skeletonOfObject(data, 'camel')['relationships'], {
    account: { data: { type: 'account', id: 'act_1' } },
  })
  t.strictSame(skeletonOfObject(data, 'kebab')['relationships'], { account: { data: {} } })
})

t.test('only the copies told are reduced, and without the primary one the envelope stays', async (t) => {
  const document = edited(
    anEvent({
      data: anObject('account', 'act_1', { a: 1 }),
      included: [
        anObject('inquiry', 'inq_1', { a: 1 }),
        anObject('case', 'c', { a: 1 }),
        anObject('inquiry', 'inq_1', { a: 2 }),
      ],
      extra: { context: { a: 1 } },
    }),
    ['data', 'attributes', 'payload', 'meta'],
    'kept',
  )
  const reduced = plain(
    reducePayload(parseExact(JSON.stringify(document)), {
      casing: 'kebab',
      kind: 'redacted',
      isReduced: (id) => id === 'inq_1',
    }),
  )
  const bare = anObject('inquiry', 'inq_1', {}, {})
  t.strictSame(
    reduced,
    edited(document, ['data', 'attributes', 'payload', 'included'], [bare, anObject('case', 'c', { a: 1 }), bare]),
  )
})
