export type {
  Change,
  ChangeBatch,
  ChangeCause,
  ChangeIteration,
  ChangesOptions,
  From,
  ObjectFamily,
  Queryable,
} from './changes/change.ts'
export { CursorExpiredError } from './changes/cursor.ts'
export { openReader, type Reader, type ReaderOptions } from './reader.ts'
export type {
  Inquiry,
  InquiryDetails,
  JsonValue,
  Resource,
  ResourceDetails,
  Verification,
  VerificationDetails,
} from './rows/columns.ts'
export type { InquiryFilter, LinkedFilter, Page, PageOptions } from './rows/list-rows.ts'
export { DecryptionError } from '@persona-ingest/core'
