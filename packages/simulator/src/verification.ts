import { checksOf } from './checks.ts'
import { toOne, wholeSecond, type Json, type JsonObject, type Resource } from './json-api.ts'
import type { Person } from './person.ts'
import type { Random } from './random.ts'

export type VerificationKind = 'government-id' | 'selfie'

function time(name: string, atMs: number | null): JsonObject {
  return {
    [name]: atMs === null ? null : wholeSecond(atMs),
    [`${name}-ts`]: atMs === null ? null : Math.floor(atMs / 1000),
  }
}

function photo(page: string, random: Random): JsonObject {
  const token = random.id('tok')
  return {
    page,
    url: `https://files.example/${page}.jpg?access_token=${token}`,
    'byte-size': random.integer(80_000, 400_000),
  }
}

function governmentIdAttributes(person: Person, random: Random): JsonObject {
  return {
    'country-code': person.countryCode,
    'id-class': random.pick(['dl', 'pp', 'id']),
    'entity-confidence-score': random.fraction() * 100,
    'name-first': person.first,
    'name-middle': null,
    'name-last': person.last,
    'native-name-first': person.nativeFirst,
    'native-name-last': person.nativeLast,
    birthdate: person.birthdate,
    'address-street-1': person.street,
    'address-street-2': null,
    'address-city': person.city,
    'address-subdivision': person.subdivision,
    'address-postal-code': person.postalCode,
    'identification-number': person.identificationNumber,
    'issue-date': '2021-05-04',
    // The provider sends an empty text for documents without one.
    'expiration-date': random.chance(0.1) ? '' : '2031-05-03',
    'photo-urls': [photo('front', random), photo('back', random)],
  }
}

function selfieAttributes(random: Random): JsonObject {
  return {
    'country-code': null,
    'selfie-similarity-score-left': random.fraction() * 100,
    'selfie-similarity-score-right': null,
    'photo-urls': [photo('center', random), photo('left', random), photo('right', random)],
  }
}

/** A verification that its person has handed in: `submitted`, nothing checked yet. */
export function submittedVerification(options: {
  kind: VerificationKind
  inquiryId: string
  person: Person
  atMs: number
  random: Random
}): Resource {
  const { kind, person, atMs, random } = options
  return {
    type: `verification/${kind}`,
    id: random.id('ver'),
    attributes: {
      status: 'submitted',
      ...time('created-at', atMs - 20_000),
      ...time('submitted-at', atMs),
      ...time('completed-at', null),
      'redacted-at': null,
      'capture-method': 'photo',
      tags: [],
      ...(kind === 'government-id' ? governmentIdAttributes(person, random) : selfieAttributes(random)),
      checks: [],
    },
    relationships: {
      inquiry: toOne({ type: 'inquiry', id: options.inquiryId }),
      template: toOne(null),
      transaction: toOne(null),
    },
  }
}

/** The verification after its checks. */
export function checkedVerification(
  verification: Resource,
  options: { hasPassed: boolean; atMs: number; random: Random },
): Resource {
  const kind = verification.type === 'verification/selfie' ? 'selfie' : 'government-id'
  return {
    ...verification,
    attributes: {
      ...verification.attributes,
      status: options.hasPassed ? 'passed' : 'failed',
      ...time('completed-at', options.atMs),
      checks: checksOf(kind, options.hasPassed, options.random),
    },
  }
}

const kept = /^(status|country-code|id-class|capture-method|tags|checks|(created|submitted|completed)-at(-ts)?)$/

/** The verification after a redaction: everything that tells about its person is null. */
export function redactedVerification(verification: Resource, atMs: number): Resource {
  const emptied = Object.entries(verification.attributes).map(([key, value]): [string, Json] => [
    key,
    kept.test(key) ? value : Array.isArray(value) ? [] : null,
  ])
  return {
    ...verification,
    attributes: { ...Object.fromEntries(emptied), tags: [], 'redacted-at': wholeSecond(atMs) },
  }
}
