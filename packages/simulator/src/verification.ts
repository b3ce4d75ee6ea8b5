import { toOne, wholeSecond, type Json, type JsonObject, type Resource } from './json-api.ts'
import type { Person } from './person.ts'
import type { Random } from './random.ts'

const governmentIdChecks = [
  'id_aamva_database_lookup',
  'id_account_comparison',
  'id_age_comparison',
  'id_attribute_comparison',
  'id_barcode_detection',
  'id_blur_detection',
  'id_color_inconsistency_detection',
  'id_compromised_detection',
  'id_country_allowed_detection',
  'id_double_side_detection',
  'id_electronic_replica_detection',
  'id_entity_detection',
  'id_expired_detection',
  'id_extracted_properties_detection',
  'id_fabrication_detection',
  'id_glare_detection',
  'id_handwriting_detection',
  'id_inconsistent_repeat_detection',
  'id_inquiry_comparison',
  'id_mrz_detection',
  'id_paper_detection',
  'id_po_box_detection',
  'id_portrait_clarity_detection',
  'id_portrait_detection',
  'id_public_figure_detection',
  'id_real_id_detection',
  'id_repeat_detection',
  'id_selfie_comparison',
  'id_tamper_detection',
  'id_unprocessable_submission_detection',
  'id_valid_dates_detection',
  'id_video_quality_detection',
] as const
const selfieChecks = [
  'selfie_account_comparison',
  'selfie_age_comparison',
  'selfie_attribute_comparison',
  'selfie_glare_detection',
  'selfie_glasses_detection',
  'selfie_id_comparison',
  'selfie_liveness_detection',
  'selfie_multiple_faces_detection',
  'selfie_pose_repeated_detection',
  'selfie_public_figure_detection',
  'selfie_similarity_detection',
  'selfie_suspicious_entity_detection',
] as const

/**
 * Returns the checks of a verification: 10 to 30 of a government id, 10 to 12 of a selfie. A failed verification has one
 * failed required check with a reason.
 */
function checksOf(kind: 'government-id' | 'selfie', hasPassed: boolean, random: Random): readonly JsonObject[] {
  const names = kind === 'selfie' ? selfieChecks : governmentIdChecks
  const most = Math.min(30, names.length)
  // The lesser of two draws: long lists of checks are rare.
  const chosen = names.slice(0, Math.min(random.integer(10, most), random.integer(10, most)))
  return chosen.map((name, index) => {
    const hasFailed = !hasPassed && index === 3
    return {
      name,
      status: hasFailed ? 'failed' : random.chance(0.2) ? 'not_applicable' : 'passed',
      reasons: hasFailed ? ['comparison_below_threshold'] : [],
      requirement: hasFailed || random.chance(0.4) ? 'required' : 'not_required',
      metadata: {},
    }
  })
}

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
    // The provider sends an empty text for documents without expiration date.
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

/** Returns a submitted verification without checks. */
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

/** Returns the verification after its checks. */
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

/** Returns the verification after a redaction: all personal attributes are null. */
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
