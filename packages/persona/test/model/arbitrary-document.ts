import fc from 'fast-check'
import type { Casing } from '../../src/attributes.ts'
import { values } from './arbitrary-json.ts'
import type { Json, JsonMap } from './event-document.ts'
import { recased } from './recase.ts'

/**
 * Usable event documents with all that may be odd in them. Few ids, so that copies, references and claims collide.
 * `text` makes every text that erasure must take away; ids, types, statuses and times are made without it.
 */

const IDENTITIES = [
  ['inquiry', 'inq_A'],
  ['inquiry', 'inq_B'],
  ['verification/selfie', 'ver_1'],
  ['verification/database', 'ver_1'],
  ['report/watchlist', 'rep_1'],
  ['inquiry-session', 'iqse_1'],
  ['document/generic', 'x_1'],
  ['account', 'x_1'],
  ['account', 'act_1'],
  ['case', 'case_1'],
  ['transaction', 'txn_1'],
] as const
const NAMES = [
  'inquiry.created',
  'inquiry.approved',
  'inquiry.redacted',
  'inquiry.updated-tags',
  'verification.passed',
  'account.created',
  'account.redacted',
  'case.redacted',
]
const TIMES = ['2026-01-01T00:00:00.000Z', '2026-01-01T00:00:00.001Z', '2026-02-03T10:06:21.739+09:00']
const TIME_KEYS = ['created-at', 'created_at', 'Created-at', 'started-at', 'redacted-at', 'submitted-at', 'updated-at']
const OTHER_KEYS = [
  'reference-id',
  'reference_id',
  'tags',
  'fields',
  'country-code',
  'checks',
  'name-first',
  'address-street-1',
  'status-reason',
  '__proto__',
  'constructor',
]

function members(entry: fc.Arbitrary<readonly [string, Json]>, maxLength: number): fc.Arbitrary<JsonMap> {
  return fc.array(entry, { maxLength }).map((entries) => Object.fromEntries(entries))
}

function attributesOf(value: fc.Arbitrary<Json>): fc.Arbitrary<Json> {
  const status = fc.oneof(
    fc.constantFrom<Json>('approved', 'declined', '', null),
    value.filter((told) => typeof told !== 'string'),
  )
  const entry = fc.oneof(
    fc.tuple(fc.constantFrom('status', 'Status'), status),
    fc.tuple(fc.constantFrom(...TIME_KEYS), fc.oneof(fc.constantFrom<Json>(...TIMES, null, ''), value)),
    fc.tuple(fc.constantFrom(...OTHER_KEYS), value),
    fc.tuple(fc.constant('tags'), fc.array(value, { maxLength: 3 })),
    fc.tuple(fc.constant('fields'), members(fc.tuple(fc.constantFrom('nameFirst', 'a-b'), value), 2)),
  )
  return fc.oneof({ weight: 9, arbitrary: members(entry, 6) }, fc.constantFrom<Json>(null, []), value)
}

function relationshipsOf(value: fc.Arbitrary<Json>): fc.Arbitrary<Json> {
  const identifier = fc.oneof(
    { weight: 5, arbitrary: fc.constantFrom(...IDENTITIES).map(([type, id]): Json => ({ type, id })) },
    fc.tuple(fc.constantFrom(...IDENTITIES), value).map(([[type, id], meta]): Json => ({ type, id, meta })),
    fc.constantFrom<Json>(
      { id: 'x_1' },
      { type: 'account' },
      {},
      null,
      { type: 5, id: 'x_1' },
      { type: '', id: 'x_1' },
    ),
  )
  const relation = fc.oneof(
    identifier.map((data): Json => ({ data })),
    fc.array(identifier, { maxLength: 3 }).map((data): Json => ({ data })),
    value.map((meta): Json => ({ meta })),
    value,
  )
  const name = fc.constantFrom(
    'account',
    'inquiry',
    'inquiry-template',
    'inquiry_template',
    'template',
    'verifications',
  )
  const noRelationships = value.filter((told) => typeof told !== 'object' || told === null || Array.isArray(told))
  return fc.oneof({ weight: 9, arbitrary: members(fc.tuple(name, relation), 4) }, noRelationships)
}

function objectsOf(value: fc.Arbitrary<Json>): fc.Arbitrary<JsonMap> {
  return fc
    .tuple(fc.constantFrom(...IDENTITIES), attributesOf(value), relationshipsOf(value), fc.option(value))
    .map(([[type, id], attributes, relationships, links]) => ({ type, id, attributes, relationships, links }))
}

/** A usable event document in one of the three casings; `keys` stand in its values, beside texts. */
export function documents(
  text: fc.Arbitrary<string>,
  keys?: readonly string[],
): fc.Arbitrary<{ document: Json; casing: Casing }> {
  const value = values(text, keys)
  const object = objectsOf(value)
  const withoutId = object.map(({ id: _, ...rest }): Json => rest)
  const included = fc.oneof(
    { weight: 9, arbitrary: fc.array(fc.oneof({ weight: 6, arbitrary: object }, withoutId, value), { maxLength: 4 }) },
    value,
  )
  const extra = members(
    fc.tuple(fc.constantFrom('context', 'redacted-at', 'Name', 'Payload', 'created_at', 'Created-at', 'meta'), value),
    2,
  )
  return fc
    .record({
      id: fc.integer({ min: 0, max: 99 }).map((number) => `evt_${number}`),
      name: fc.constantFrom(...NAMES),
      createdAt: fc.constantFrom(...TIMES),
      casing: fc.constantFrom<Casing>('kebab', 'camel', 'snake'),
      data: object,
      included,
      extra,
      around: members(fc.tuple(fc.constantFrom('links', 'jsonapi'), value), 1),
    })
    .map(({ id, name, createdAt, casing, data, included, extra, around }) => {
      const payload = { ...around, data, included }
      const attributes = { ...extra, name, payload, 'created-at': createdAt }
      // `extra` may hold the other two spellings of the time: in a body of another casing they must not be told first.
      const told = recased({ ...around, data: { type: 'event', id, ...around, attributes } }, casing)
      return { casing, document: casing === 'kebab' ? told : withoutOtherTimes(told as Told, casing) }
    })
}

type Told = { readonly data: { readonly attributes: JsonMap } & JsonMap } & JsonMap

function withoutOtherTimes(document: Told, casing: Casing): Json {
  const others = casing === 'camel' ? ['created-at'] : ['created-at', 'createdAt']
  const attributes = Object.entries(document.data.attributes).filter(([key]) => !others.includes(key))
  return { ...document, data: { ...document.data, attributes: Object.fromEntries(attributes) } }
}
