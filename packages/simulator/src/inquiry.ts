import { toMany, toOne, wholeSecond, type Json, type JsonObject, type Resource } from './json-api.ts'
import type { Person } from './person.ts'
import type { Random } from './random.ts'

/** The objects in the relationships of an inquiry. */
type InquiryLinks = {
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
    // A customer's name, which keeps its casing.
    'contactWays-2': { type: 'multi_choices', value: ['email'] },
    current_government_id: { type: 'government_id', value: { id: documentId, type: 'Document::GovernmentId' } },
  }
}

/** API versions before 2025-10-27 hold the person's data at the top level too. */
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

/** Returns the attributes of a new inquiry; they hold no data of the person yet. */
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

/** Returns the attributes that an inquiry gets when its person starts it. */
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
 * Returns the attributes of an inquiry after a redaction of its account: identity is null at the top level and in
 * `fields`; `reference-id`, note and tags are gone; status and times stay.
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

/** Returns the inquiry as a JSON:API object. */
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

// All simulated inquiries share these templates, as the inquiries of one customer do.
type Template = readonly [id: string, versionId: string, name: string]
const templates: readonly [Template, ...Template[]] = [
  ['itmpl_SimGovernmentIdAndSelfie1', 'itmplv_SimGovernmentIdAndSelfie1v3', 'Government ID and selfie'],
  ['itmpl_SimCreatorOnboarding00002', 'itmplv_SimCreatorOnboarding00002v1', 'Creator onboarding'],
  ['itmpl_SimPayoutReview0000000003', 'itmplv_SimPayoutReview0000000003v9', 'Payout review'],
]

/** Returns one of the shared templates, with its version. */
export function inquiryTemplate(random: Random): { template: Resource; versionId: string } {
  const [id, versionId, name] = random.pick(templates)
  const template = {
    type: 'inquiry-template',
    id,
    attributes: { status: 'active', name },
    relationships: { 'latest-published-version': toOne({ type: 'inquiry-template-version', id: versionId }) },
  }
  return { template, versionId }
}

/** Returns the account of an inquiry. */
export function account(person: Person, options: { id: string; referenceId: string | null; atMs: number }): Resource {
  const createdAt = wholeSecond(options.atMs - 60_000)
  return {
    type: 'account',
    id: options.id,
    attributes: {
      'reference-id': options.referenceId,
      'account-type-name': 'User',
      'account-status': 'Default',
      'created-at': createdAt,
      'updated-at': createdAt,
      'redacted-at': null,
      tags: [],
      fields: {
        name: {
          type: 'hash',
          value: { first: { type: 'string', value: person.first }, last: { type: 'string', value: person.last } },
        },
        email_address: { type: 'string', value: person.email },
      },
    },
    relationships: { 'account-type': toOne({ type: 'account-type', id: 'acttp_SimUser000000000000001' }) },
  }
}

/** Returns a session on one device: new (most attributes are null), or active. */
export function inquirySession(options: {
  inquiryId: string
  atMs: number
  isActive: boolean
  random: Random
}): Resource {
  const { atMs, isActive, random } = options
  return {
    type: 'inquiry-session',
    id: random.id('iqse'),
    attributes: {
      status: isActive ? 'active' : 'new',
      'created-at': wholeSecond(atMs),
      'started-at': isActive ? wholeSecond(atMs) : null,
      'expired-at': null,
      'ip-address': isActive ? `203.0.113.${random.integer(1, 254)}` : null,
      'user-agent': isActive ? 'Mozilla/5.0 (Simulated) Gecko/20100101' : null,
      'os-name': isActive ? 'iOS' : null,
      'ip-latitude': isActive ? random.fraction() * 90 : null,
      'ip-longitude': isActive ? random.fraction() * 180 : null,
      'is-proxy': isActive ? false : null,
      'threat-level': isActive ? 'low' : null,
    },
    relationships: { inquiry: toOne({ type: 'inquiry', id: options.inquiryId }) },
  }
}

/** Returns an account after its redaction. */
export function redactedAccount(account: Resource, atMs: number): Resource {
  const attributes = {
    ...account.attributes,
    'reference-id': null,
    tags: [],
    fields: {},
    'redacted-at': wholeSecond(atMs),
  }
  return { ...account, attributes }
}

/** Returns a session after the redaction of its inquiry: address, device and place identify a person. */
export function redactedSession(session: Resource): Resource {
  const emptied = { 'ip-address': null, 'user-agent': null, 'os-name': null, 'ip-latitude': null, 'ip-longitude': null }
  return { ...session, attributes: { ...session.attributes, ...emptied } }
}
