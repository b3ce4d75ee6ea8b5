import { toOne, wholeSecond, type Resource } from './json-api.ts'
import type { Person } from './person.ts'
import type { Random } from './random.ts'

// The templates that all simulated inquiries share, as they do at a customer of the provider.
type Template = readonly [id: string, versionId: string, name: string]
const templates: readonly [Template, ...Template[]] = [
  ['itmpl_SimGovernmentIdAndSelfie1', 'itmplv_SimGovernmentIdAndSelfie1v3', 'Government ID and selfie'],
  ['itmpl_SimCreatorOnboarding00002', 'itmplv_SimCreatorOnboarding00002v1', 'Creator onboarding'],
  ['itmpl_SimPayoutReview0000000003', 'itmplv_SimPayoutReview0000000003v9', 'Payout review'],
]

/** One of the shared templates, with its version. */
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

/** The account that an inquiry belongs to. */
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

/** A session on one device: brand new (nearly everything null), or active. */
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

/** An account after its redaction. */
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

/** A session after the redaction of its inquiry: where somebody was and with what tells who they are. */
export function redactedSession(session: Resource): Resource {
  const emptied = { 'ip-address': null, 'user-agent': null, 'os-name': null, 'ip-latitude': null, 'ip-longitude': null }
  return { ...session, attributes: { ...session.attributes, ...emptied } }
}
