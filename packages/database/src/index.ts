export {
  ConnectionError,
  type Failure,
  type FailureKind,
  failureOf,
  readsAsOutage,
  sqlStateOf,
  UnsuitableSessionError,
} from './sql/failure.ts'

export { postgresUrl } from './sql/postgres-url.ts'
export { openDatabase, readDatabaseIdentity, type Database, type DatabaseOptions } from './database.ts'
export {
  type DeadLetter,
  type DeadLetterReason,
  deadLetterReasons,
  readDeadLetter,
  type DeadLetterState,
  deadLetterStates,
} from './dead-letters/dead-letter.ts'
export {
  countOpenDeadLetters,
  type DeadLetterFilter,
  type DeadLetterListItem,
  type DeadLetterPage,
  type DeadLetterRow,
  findDeadLetter,
  listDeadLetters,
  readDeadLetterDocument,
} from './reads/dead-letters.ts'

export { removeUnkeyedDigests, type RefreshReport } from './dead-letters/refresh-digests.ts'
export { redactDelivery } from './dead-letters/redact.ts'
export { readErasureEpoch } from './log/stored-erasures.ts'
export {
  discardDeadLetters,
  type DiscardResult,
  type DeadLetterProgress,
  type DeadLetterSelection,
  type DeadLetterVerdict,
  readReplayableDeadLetters,
  readReplayProgress,
  type ReplayableDeadLetter,
} from './dead-letters/resolve.ts'

export { storeDeadLetter } from './dead-letters/store-dead-letter.ts'
export { eraseTargets, type EraseOptions, type ErasureReport } from './redaction/erase.ts'
export {
  AmbiguousSubjectError,
  erasureSubjects,
  findErasureTargets,
  type ErasureSubject,
  type ErasureTargets,
} from './redaction/find-erasure-targets.ts'

export type { PrismaClient } from './generated/client.ts'
export { tryStoring, tryWriting } from './store/probe.ts'
export type { OnUndecryptable, UndecryptableRow } from './sql/executor.ts'
export { storeEvents, type StoreOptions, type StoreOutcome, type StoreOutcomes } from './store/store-events.ts'
export type { StoreCause } from './store/write-sql.ts'
export { type ConsumerStatus, type FeedStatus, readFeedStatus } from './changes/feed-status.ts'
export {
  type ChangeRow,
  ConsumerUnknownError,
  countOldChanges,
  CursorExpiredError,
  findStartTick,
  readChanges,
  readTickRange,
} from './changes/reads.ts'
export { tailChanges } from './changes/tail.ts'
export { dropOldChanges, makeChangeTick, type TickOutcome } from './changes/ticks.ts'
export {
  type FailedNotification,
  type FailedNotificationPage,
  listFailedNotifications,
  resendNotifications,
  type ResendResult,
  type ResendSelection,
} from './changes/failed-notifications.ts'
export { keepAllRows } from './changes/keep-all-rows.ts'
export {
  beginConsumer,
  type BatchClient,
  ChangeCursorMovedError,
  holdReading,
  leaveReading,
  takeChanges,
} from './changes/notification-reader.ts'
export {
  type Change,
  changeFamilies,
  type ChangeFamily,
  type Claim,
  type ClaimedNotification,
  claimNotification,
  countNotifications,
  keepNotifications,
  listDueNotifications,
  probeNotifications,
  type NotificationCounts,
  releaseNotification,
  settleFailed,
  settleSent,
} from './changes/notifications.ts'
export { migrate } from './migration/migrate.ts'
export {
  listOperations,
  type Operation,
  type OperationCounts,
  type OperationPage,
  type OperationRow,
  recordOperation,
} from './operations.ts'

export { findEvent, findEventBody, type EventBody, type EventRow } from './reads/find-event.ts'
export { findInquiry, type InquiryDetails } from './reads/find-inquiry.ts'
export {
  type InquiryCursor,
  type InquiryFilter,
  type InquiryListItem,
  type InquiryPage,
  listInquiries,
  parseInquiryCursor,
  type VerificationSummary,
} from './reads/list-inquiries.ts'

export {
  countDriftedEvents,
  type EventStatistics,
  findBehindEvents,
  readEventStatistics,
  type StoreLag,
} from './reads/event-statistics.ts'
export { readTimeline, type TimelineRow } from './reads/read-timeline.ts'
export type { EventColumns, InquiryRow, ResourceRow, VerificationRow } from './reads/rows.ts'

export { countSelectedEvents, listSelectedEvents, type EventPlace, type EventSelection } from './log/select-events.ts'
export { DecryptionError } from './sql/row-values.ts'
export {
  OtherKeyError,
  type EncryptOptions,
  type EncryptProgress,
  type EncryptReport,
  encryptStored,
  UndecryptableDeadLettersError,
} from './encryption/encrypt-stored.ts'

export { replayEvent, type ReplayOptions, type ReplayOutcome } from './store/replay-event.ts'
export { MaintenanceBusyError } from './sql/maintenance-connection.ts'
export type { RowDifference } from './rebuild/mend.ts'
export { rebuild, type RebuildOptions, type RebuildProgress, type RebuildReport } from './rebuild/rebuild.ts'
export {
  countPrunable,
  prune,
  type PruneOptions,
  type PruneProgress,
  type PruneReport,
  type RetentionLimits,
} from './retention/prune.ts'
