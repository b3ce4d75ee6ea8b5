export { attributeFilter, isBlocklistPattern, type AttributeFilterOptions } from './attribute-filter.ts'
export { attributeText, parseTimestamp, snakeCase, type Casing } from './attributes.ts'
export {
  quarantineReasons,
  readEnvelope,
  type Envelope,
  type QuarantineReason,
  type UnusableEnvelope,
} from './envelope.ts'
export {
  bareRelationships,
  prunedPayload,
  reducedObjectIn,
  reduceEvent,
  skeletonOf,
  type ErasureLookup,
} from './erasure.ts'
export { foldEvents, readEvent, statesOf, UnusableEventError, type EventObject, type PersonaEvent } from './event.ts'
export { canonicalText, copyJson, isLeaf, parseExact, setMember, stringifyExact } from './json.ts'
export type { CopyRules, JsonObject, JsonValue } from './json.ts'
export {
  claimStrength,
  compareBytes,
  compareClaims,
  compareClockedClaims,
  compareClocks,
  eventRank,
  mergeStates,
} from './object-state.ts'
export type { Claim, ClaimStrength, Clock, ClockedClaim, ObjectState } from './object-state.ts'
export { signatureHeader, signatureVerification, verifySignature } from './signature.ts'
export type { Environment, SignatureInput, SignatureVerdict, SigningSecret } from './signature.ts'
export { carriesInquiryId, familyOf, inquiryTimes, verificationTimes } from './snapshot.ts'
export type {
  InquirySnapshot,
  ObjectFamily,
  Reference,
  ResourceSnapshot,
  Snapshot,
  VerificationSnapshot,
} from './snapshot.ts'
