export { ConnectionError } from './sql/connection-error.ts'
export { UnsuitableSessionError } from './sql/session.ts'
export { postgresUrl } from './sql/postgres-url.ts'
export { openDatabase, type Database, type DatabaseOptions } from './database.ts'
export { readLetter, type DeadLetter } from './dead-letters/dead-letter.ts'
export { countOpenDeadLetters } from './dead-letters/count-open-dead-letters.ts'
export { deadLetterReasons, type DeadLetterReason } from './dead-letters/dead-letter-reasons.ts'
export { removeUnkeyedDigests, type RefreshReport } from './dead-letters/refresh-digests.ts'
export { readDatabaseIdentity, readErasureEpoch, reduceDelivery } from './dead-letters/reduce-delivery.ts'
export { discardDeadLetters, type DiscardResult } from './dead-letters/discard-dead-letters.ts'
export type { LetterSelection } from './dead-letters/letter-selection.ts'
export { readReplayProgress, type LetterProgress } from './dead-letters/replay-progress.ts'
export { readReplayableLetters, type LetterVerdict, type ReplayableLetter } from './dead-letters/resolve.ts'
export { storeDeadLetter } from './dead-letters/store-dead-letter.ts'
export { eraseTargets, type EraseOptions, type ErasureReport } from './redaction/erase.ts'
export {
  AmbiguousSubjectError,
  erasureSubjects,
  findErasureTargets,
  type ErasureSubject,
  type ErasureTargets,
} from './redaction/find-erasure-targets.ts'
export { failureOf, readsAsOutage, sqlStateOf, type Failure, type FailureKind } from './sql/failure.ts'
export type { PrismaClient } from './generated/client.ts'
export { tryStoring, tryWriting } from './store/probe.ts'
export type { OnUnopened, UnopenedRow } from './sql/executor.ts'
export { storeEvents, type StoreOutcome, type StoreOutcomes } from './store/store-events.ts'
export { migrate } from './migration/migrate.ts'
export { listOperations, type OperationPage, type OperationRow } from './operations/list-operations.ts'
export { recordOperation, type Operation, type OperationCounts } from './operations/record-operation.ts'
export {
  deadLetterStates,
  findDeadLetter,
  listDeadLetters,
  readLetterDocument,
  type DeadLetterFilter,
  type DeadLetterListItem,
  type DeadLetterPage,
  type DeadLetterRow,
  type DeadLetterState,
} from './reads/dead-letters.ts'
export { findEvent, findEventBody, type EventBody, type EventRow } from './reads/find-event.ts'
export { findInquiry, type InquiryDetails } from './reads/find-inquiry.ts'
export { parseInquiryCursor, type InquiryCursor } from './reads/inquiry-cursor.ts'
export {
  listInquiries,
  type InquiryFilter,
  type InquiryListItem,
  type InquiryPage,
  type VerificationSummary,
} from './reads/list-inquiries.ts'
export { readEventStatistics, type EventStatistics, type StoreLag } from './reads/read-event-statistics.ts'
export { readTimeline, type TimelineRow } from './reads/read-timeline.ts'
export type { EventColumns, InquiryRow, ResourceRow, VerificationRow } from './reads/rows.ts'
export { countDriftedEvents } from './reads/count-drifted-events.ts'
export { findBehindEvents } from './reads/find-behind-events.ts'
export { countSelectedEvents, listSelectedEvents, type EventPlace, type EventSelection } from './log/select-events.ts'
export { SealedDataError } from './sql/encrypted-values.ts'
export { SealedOtherwiseError } from './encryption/encrypted-columns.ts'
export {
  sealStored,
  UnopenedLettersError,
  type SealOptions,
  type SealProgress,
  type SealReport,
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
