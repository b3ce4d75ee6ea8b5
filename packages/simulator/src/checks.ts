import type { JsonObject } from './json-api.ts'
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
 * The checks of a verification, 10 to 30 of a government id, 10 to 12 of a selfie.
 * Of a failed one at least one required check has failed, with a reason.
 */
export function checksOf(kind: 'government-id' | 'selfie', hasPassed: boolean, random: Random): readonly JsonObject[] {
  const names = kind === 'selfie' ? selfieChecks : governmentIdChecks
  const most = Math.min(30, names.length)
  // Two draws: many checks are rarer than few.
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
