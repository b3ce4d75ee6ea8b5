import t from 'tap'
import { type JsonObject, parseExact } from '../../src/json.ts'
import { skeletonOf } from '../../src/redaction.ts'
import { timeColumns } from '../../src/columns.ts'
import { readObject } from '../../src/snapshot.ts'
import type { Casing } from '../../src/attributes.ts'
import { anObject, flat, type Json, type JsonMap } from '../model/event-document.ts'

const inquiryTimes = timeColumns('inquiry')
const verificationTimes = timeColumns('verification')

function reading(value: Json, casing: Casing = 'kebab') {
  return readObject(parseExact(JSON.stringify(value)), casing)
}

function snapshotOf(value: Json, casing: Casing = 'kebab') {
  const snapshot = reading(value, casing)?.snapshot
  if (snapshot === undefined) throw new Error('Expected an object')
  return flat(snapshot)
}

t.test('an inquiry is split as its table is, and its attributes keep the rest', async (t) => {
  const times = Object.fromEntries(
    inquiryTimes.map((name, day) => [name.replaceAll('_', '-'), `2026-01-0${day + 1}T00:00:00Z`]),
  )
  const value = anObject(
    'inquiry',
    'inq_1',
    {
      ...times,
      status: 'approved',
      'reference-id': 'r',
      tags: ['A'],
      fields: { x: 1 },
      note: null,
      'name-first': 'Zoë',
    },
    {
      account: { data: { type: 'account', id: 'act_1' } },
      template: { data: { type: 'template', id: 'tmpl_1' } },
      'inquiry-template': { data: { type: 'inquiry-template', id: 'itmpl_1' } },
      'inquiry-template-version': { data: { type: 'inquiry-template-version', id: 'itmplv_1' } },
    },
  )
  const snapshot = snapshotOf(value)
  t.match(snapshot, {
    family: 'inquiry',
    type: 'inquiry',
    reference_id: 'r',
    account_id: 'act_1',
    template_id: 'itmpl_1',
    template_version_id: 'itmplv_1',
    tags: ['A'],
    fields: { x: 1 },
  })
  t.strictSame(snapshot['attributes'], { note: null, name_first: 'Zoë' })
  t.match(snapshot, Object.fromEntries(inquiryTimes.map((name, day) => [name, Date.UTC(2026, 0, day + 1)])))
  t.equal(reading(value)?.status, 'approved')
})

t.test('a verification is split as its table is, and its attributes keep the rest', async (t) => {
  const times = Object.fromEntries(
    verificationTimes.map((name, day) => [name.replaceAll('_', '-'), `2026-01-0${day + 1}T00:00:00Z`]),
  )
  const checks = [{ name: 'id-check', status: 'passed', 'some-key': { 'other-key': 1 } }]
  const snapshot = snapshotOf(
    anObject('verification/selfie', 'ver_1', {
      ...times,
      'updated-at': '2026-01-09T00:00:00Z',
      'country-code': 'JP',
      checks,
      tags: ['A'],
      'reference-id': 'r',
      fields: { 'a-b': 1 },
    }),
  )
  t.match(snapshot, { family: 'verification', type: 'verification/selfie', country_code: 'JP' })
  t.strictSame(snapshot['checks'], [{ name: 'id-check', status: 'passed', some_key: { other_key: 1 } }])
  t.strictSame(snapshot['attributes'], {
    updated_at: '2026-01-09T00:00:00Z',
    tags: ['A'],
    reference_id: 'r',
    fields: { 'a-b': 1 },
  })
  t.match(snapshot, Object.fromEntries(verificationTimes.map((name, day) => [name, Date.UTC(2026, 0, day + 1)])))
})

t.test('a resource has a status of its own only', async (t) => {
  const attributes = {
    status: 'Open',
    'created-at': '2026-01-01T00:00:00Z',
    tags: [],
    fields: { 'a-b': 1 },
    checks: [],
  }
  const snapshot = snapshotOf(anObject('case', 'case_1', attributes))
  t.strictSame(Object.keys(snapshot).toSorted(), ['attributes', 'family', 'relationships', 'type'])
  t.strictSame(snapshot['attributes'], {
    created_at: '2026-01-01T00:00:00Z',
    tags: [],
    fields: { 'a-b': 1 },
    checks: [],
  })
})

t.test('absent, null and wrong kinds leave the columns empty, and the wrong kinds in the attributes', async (t) => {
  const empty = {
    reference_id: null,
    account_id: null,
    template_id: null,
    template_version_id: null,
    tags: [],
    fields: {},
  }
  for (const attributes of [{}, { 'reference-id': null, tags: null, fields: null }])
    t.match(snapshotOf(anObject('inquiry', 'inq_1', attributes)), { ...empty, attributes: {} })
  const wrong: JsonMap = { 'reference-id': {}, tags: 'A', fields: ['x'], 'created-at': '', 'redacted-at': 'soon' }
  const snapshot = snapshotOf(anObject('inquiry', 'inq_1', wrong))
  t.match(snapshot, empty)
  t.strictSame(snapshot['attributes'], {
    reference_id: {},
    tags: 'A',
    fields: ['x'],
    created_at: '',
    redacted_at: 'soon',
  })
  const verification = snapshotOf(anObject('verification', 'ver_1', { checks: {}, 'country-code': [] }))
  t.match(verification, { country_code: null, checks: [], attributes: { checks: {}, country_code: [] } })
  for (const attributes of [null, 'x', 5, [], true])
    t.strictSame(snapshotOf(anObject('inquiry', 'inq_1', attributes))['attributes'], {})
})

t.test('the template is the inquiry-template, else the template', async (t) => {
  const told = (relationships: JsonMap) => snapshotOf(anObject('inquiry', 'inq_1', {}, relationships))['template_id']
  const legacy = { data: { type: 'template', id: 'blu_1' } }
  t.equal(told({ template: legacy }), 'blu_1')
  for (const none of [
    { data: null },
    {},
    { data: {} },
    { data: [] },
    null,
    { data: { type: 'inquiry-template', id: '' } },
  ])
    t.equal(told({ template: legacy, 'inquiry-template': none }), 'blu_1', JSON.stringify(none))
  t.equal(told({ template: { data: null } }), null)
  t.equal(told({ template: { data: [{ type: 'template', id: 'blu_1' }] } }), null, 'a list is no to-one relationship')
})

t.test('keys are snake_case at every depth but below fields, in each casing', async (t) => {
  const expected = { some_key: [{ inner_key: { deepest_key: 1 } }] }
  t.strictSame(
    snapshotOf(anObject('case', 'c', { 'some-key': [{ 'inner-key': { 'deepest-key': 1 } }] }))['attributes'],
    expected,
  )
  t.strictSame(
    snapshotOf(anObject('case', 'c', { someKey: [{ innerKey: { deepestKey: 1 } }] }), 'camel')['attributes'],
    expected,
  )
  t.strictSame(
    snapshotOf(anObject('case', 'c', { some_key: [{ inner_key: { deepest_key: 1 } }] }), 'snake')['attributes'],
    expected,
  )
})

t.test('keys below fields stay as they are at every depth, whatever the family', async (t) => {
  const fields = {
    'contactWays-2': { type: 'hash', value: { 'a-b': { cD: 1, e_f: [{ 'g-h': 1 }] } } },
    nameFirst: null,
  }
  for (const casing of ['kebab', 'camel', 'snake'] as const) {
    t.strictSame(snapshotOf(anObject('inquiry', 'x', { fields }), casing)['fields'], fields)
    for (const type of ['account', 'verification/selfie'])
      t.strictSame(snapshotOf(anObject(type, 'x', { fields }), casing)['attributes'], { fields })
  }
})

t.test('fields that stand deeper than the attributes are keys like any other', async (t) => {
  t.strictSame(snapshotOf(anObject('case', 'c', { 'a-b': { fields: { 'c-d': 1 } } }))['attributes'], {
    a_b: { fields: { c_d: 1 } },
  })
})

t.test('fields called after what objects inherit stay fields', async (t) => {
  const snapshot = readObject(
    parseExact(
      '{"type":"inquiry","id":"x","attributes":{"fields":{"__proto__":{"a":1},"constructor":2},"__proto__":3}}',
    ),
    'kebab',
  )?.snapshot
  if (snapshot === undefined) throw new Error('Expected an object')
  t.strictSame(Object.keys(snapshot.columns['fields'] as JsonObject), ['__proto__', 'constructor'])
  t.strictSame(Object.keys(snapshot.attributes), ['__proto__'])
})

t.test('of two spellings of one attribute the greatest key counts, whatever their order', async (t) => {
  for (const attributes of [
    { 'reference-id': 'kebab', reference_id: 'snake' },
    { reference_id: 'snake', 'reference-id': 'kebab' },
  ])
    t.match(snapshotOf(anObject('inquiry', 'x', attributes)), { reference_id: 'snake', attributes: {} })
})

t.test('an object without an id of 1 to 255 characters is passed over', async (t) => {
  for (const id of [null, '', 5, true, {}, [], 'x'.repeat(256), '😀'.repeat(256)])
    t.equal(reading(anObject('case', id)), null, JSON.stringify(id))
  for (const value of [null, 'x', 5, true, [], [anObject('case', 'c')], { type: 'case' }])
    t.equal(reading(value), null, JSON.stringify(value))
  for (const id of ['x', ' ', 'x'.repeat(255), '😀'.repeat(255), `${'😀'.repeat(254)}x`])
    t.equal(reading(anObject('case', id))?.id, id)
})

t.test('a type that is no text is its JSON text where it is a number or boolean, else null', async (t) => {
  t.equal(reading(anObject(5, 'x'))?.snapshot.type, '5')
  t.equal(reading(anObject(false, 'x'))?.snapshot.type, 'false')
  t.equal(readObject(parseExact('{"type":1.0,"id":"x"}'), 'kebab')?.snapshot.type, '1.0')
  for (const type of [null, '', {}, [], ['inquiry']]) t.equal(reading(anObject(type, 'x'))?.snapshot.type, null)
  t.equal(reading({ id: 'x' })?.snapshot.type, null)
  t.equal(reading({ id: 'x' })?.snapshot.family, 'resource')
})

t.test('a redaction is told by a redacted-at that is not null', async (t) => {
  for (const redactedAt of ['2026-01-01T00:00:00Z', 'soon', 1_770_112_921, true])
    t.equal(reading(anObject('inquiry', 'x', { 'redacted-at': redactedAt }))?.isRedacted, true, String(redactedAt))
  t.equal(reading(anObject('inquiry', 'x', { redactedAt: '2026-01-01T00:00:00Z' }, {}), 'camel')?.isRedacted, true)
  t.equal(reading(anObject('inquiry', 'x', { 'redacted-at': null }))?.isRedacted, false)
  t.equal(reading(anObject('inquiry', 'x', {}))?.isRedacted, false)
})

t.test('a skeleton keeps type, times and bare relationships, and nothing else', async (t) => {
  const relationships = { account: { data: { type: 'account', id: 'act_1', meta: 'secret' } }, reports: { data: [] } }
  const attributes = {
    'created-at': '2026-01-01T00:00:00Z',
    'reference-id': 'secret',
    tags: ['secret'],
    fields: { x: 'secret' },
    'country-code': 'secret',
    checks: ['secret'],
    'name-first': 'secret',
  }
  const bare = { account: { type: 'account', id: 'act_1' }, reports: [] }
  for (const type of ['inquiry', 'verification/selfie', 'case']) {
    const told = reading(anObject(type, 'x', attributes, relationships))?.snapshot
    if (told === undefined) throw new Error('no snapshot')
    const skeleton = flat(skeletonOf(told))
    t.notMatch(JSON.stringify(skeleton), 'secret', type)
    t.match(skeleton, { type, attributes: {}, relationships: bare })
    if (type !== 'case') t.match(skeleton, { created_at: Date.UTC(2026, 0, 1) })
    t.strictSame(flat(skeletonOf(skeletonOf(told))), skeleton, 'a skeleton has no skeleton but itself')
  }
  const inquiry = reading(anObject('inquiry', 'x', attributes, relationships))?.snapshot
  t.match(inquiry && flat(skeletonOf(inquiry)), { account_id: 'act_1', reference_id: null, tags: [], fields: {} })
})
