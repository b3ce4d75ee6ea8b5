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
  type RedactionLookup,
} from './redaction.ts'
export {
  batchIds,
  foldEvents,
  readEvent,
  statesOf,
  UnusableEventError,
  type EventObject,
  type PersonaEvent,
} from './event.ts'
export {
  canonicalText,
  copyJson,
  type CopyRules,
  isLeaf,
  type JsonObject,
  type JsonValue,
  parseExact,
  setMember,
  stringifyExact,
} from './json.ts'

export {
  type Claim,
  claimStrength,
  type ClaimStrength,
  type Clock,
  type ClockedClaim,
  compareBytes,
  compareClaims,
  compareClockedClaims,
  compareClocks,
  eventRank,
  mergeStates,
  type ObjectState,
} from './last-write-wins.ts'

export {
  type Environment,
  signatureHeader,
  type SignatureInput,
  type SignatureVerdict,
  signatureVerification,
  type SigningSecret,
  verifySignature,
} from './signature.ts'

export { carriesInquiryId, familyOf, type Reference, type Snapshot } from './snapshot.ts'
export {
  columnKinds,
  snapshotColumns,
  timeColumns,
  type ColumnKind,
  type ColumnOf,
  type ColumnValue,
  type ObjectFamily,
  type SnapshotColumn,
} from './columns.ts'
