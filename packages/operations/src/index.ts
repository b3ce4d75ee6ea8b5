export {
  discardDeadLetters,
  replayDeadLetters,
  type DeadLettersReplayProgress,
  type DeadLettersReplayReport,
  type ReplayDeadLettersOptions,
} from './dead-letters.ts'
export {
  eraseFound,
  findErasure,
  MAX_UNDECRYPTED_IDS,
  type EraseOptions,
  type ErasureResult,
  type FoundErasure,
  type UndecryptedIds,
} from './erasure.ts'
export {
  consumersDocument,
  readIngestStatus,
  type ConsumerDocument,
  type IngestStatus,
  type Reachability,
} from './ingest-status.ts'
export {
  encryptStored,
  previewPrune,
  prunedKinds,
  pruneStored,
  rebuildProjections,
  type Differences,
  type MaintenanceContext,
  type PruneRequest,
  type PruneResult,
  type RebuildRequest,
  type RebuildResult,
} from './maintenance.ts'
export { isMembers, MASK, maskEventDocument, maskRow, type Members } from './masking.ts'
export { resendNotifications } from './notifications.ts'
export { OperationError, type Actor, type OperationFault } from './operation.ts'
export { replayEvents, type EventsReplayReport, type ReplayEventsOptions, type ReplayOptions } from './replay-events.ts'
export { explainReason, showDeadLetter, type ReasonExplanation, type ShownDeadLetter } from './show-dead-letter.ts'
