import { toMany, toOne, wholeSecond, type Json, type JsonObject, type Resource } from './json-api.ts'
import type { Person } from './person.ts'
import type { Random } from './random.ts'

/** Everything that an inquiry points to. */
export type InquiryLinks = {
  readonly account: Resource
  readonly template: Resource
  readonly templateVersionId: string
  readonly verifications: readonly Resource[]
  readonly sessions: readonly Resource[]
}

function identityFields(person: Person, documentId: string): JsonObject {
  return {
    name_first: { type: 'string', value: person.first },
    name_last: { type: 'string', value: person.last },
    birthdate: { type: 'date', value: person.birthdate },
    address_street_1: { type: 'string', value: person.street },
    address_city: { type: 'string', value: person.city },
    email_address: { type: 'string', value: person.email },
    // Named by a customer, in a casing of their own.
    'contactWays-2': { type: 'multi_choices', value: ['email'] },
    current_government_id: { type: 'government_id', value: { id: documentId, type: 'Document::GovernmentId' } },
  }
}

/** API versions before 2025-10-27 tell about the person at the top level as well. */
function topLevelIdentity(person: Person): JsonObject {
  return {
    'name-first': person.first,
    'name-middle': null,
    'name-last': person.last,
    birthdate: person.birthdate,
    'address-street-1': person.street,
    'address-street-2': null,
    'address-city': person.city,
    'address-subdivision': person.subdivision,
    'address-postal-code': person.postalCode,
    'email-address': person.email,
    'phone-number': person.phone,
    'identification-number': person.identificationNumber,
  }
}

/** The attributes of an inquiry that was just created: all that is known about its person is on their account. */
export function createdInquiry(options: { referenceId: string | null; atMs: number; random: Random }): JsonObject {
  const createdAt = wholeSecond(options.atMs)
  return {
    status: 'created',
    'reference-id': options.referenceId,
    note: null,
    behaviors: {
      'bot-score': options.random.integer(0, 99),
      'completion-time': null,
      'devtools-open': false,
      'hesitation-percentage': null,
    },
    tags: [],
    creator: 'API',
    'reviewer-comment': null,
    'created-at': createdAt,
    'updated-at': createdAt,
    'started-at': null,
    'expires-at': wholeSecond(options.atMs + 86_400_000),
    'completed-at': null,
    'failed-at': null,
    'marked-for-review-at': null,
    'decisioned-at': null,
    'expired-at': null,
    'redacted-at': null,
    'previous-step-name': null,
    'next-step-name': 'start_b7e2',
    signals: [],
    fields: {},
  }
}

/** What an inquiry learns when its person begins to hand in documents. */
export function startedInquiry(person: Person, options: { isTopLevel: boolean; random: Random }): JsonObject {
  return {
    ...(options.isTopLevel ? topLevelIdentity(person) : {}),
    note: 'Seen at the counter',
    tags: ['CAMPAIGN', null],
    behaviors: {
      'bot-score': options.random.integer(0, 99),
      'completion-time': options.random.fraction() * 200,
      'devtools-open': false,
      'hesitation-percentage': options.random.fraction() * 100,
    },
    'previous-step-name': 'start_b7e2',
    'next-step-name': 'verification_government_id_4c1d',
    fields: identityFields(person, options.random.id('doc')),
  }
}

const identity =
  /^(name-|address-|birthdate$|email-address$|phone-number$|identification-number$|note$|reviewer-comment$)/

/**
 * What a redaction that began with the account leaves of an inquiry's attributes: identity nulled at the top level and
 * in `fields`, no `reference-id`, no note, no tags; status and times stay.
 *
 * @see https://docs.withpersona.com/2026-09-29/api-reference/webhooks/inquiry-events/webhook-inquiry-redacted
 */
export function redactedInquiry(attributes: JsonObject, atMs: number): JsonObject {
  const emptied = Object.entries(attributes).map(([key, value]): [string, Json] => [
    key,
    identity.test(key) ? null : value,
  ])
  const fields = Object.entries(attributes['fields'] ?? {}).map(([name, field]): [string, Json] => [
    name,
    { type: (field as JsonObject)['type'] ?? 'string', value: null },
  ])
  return {
    ...Object.fromEntries(emptied),
    'reference-id': null,
    tags: [],
    fields: Object.fromEntries(fields),
    'redacted-at': wholeSecond(atMs),
  }
}

/** The inquiry as it stands in an event. */
export function inquiryResource(id: string, attributes: JsonObject, links: InquiryLinks): Resource {
  const isDecided = attributes['decisioned-at'] !== null
  return {
    type: 'inquiry',
    id,
    attributes,
    relationships: {
      account: toOne(links.account),
      template: toOne(null),
      'inquiry-template': toOne(links.template),
      'inquiry-template-version': toOne({ type: 'inquiry-template-version', id: links.templateVersionId }),
      transaction: toOne(null),
      reviewer: toOne(isDecided ? { type: 'workflow-run', id: `wfr_${id.slice(4)}` } : null),
      reports: toMany([]),
      verifications: toMany(links.verifications),
      sessions: toMany(links.sessions),
    },
  }
}
