import { KeyRing } from '@persona-ingest/core'
import type { ChangeIteration, ChangesOptions, From } from './changes/change.ts'
import { followChanges } from './changes/follow-changes.ts'
import { Connections } from './connections/connections.ts'
import type { InquiryDetails, ResourceDetails, VerificationDetails } from './rows/columns.ts'
import { findInquiry, findResource, findVerification } from './rows/find-rows.ts'
import { listInquiries, listResources, listVerifications } from './rows/list-rows.ts'
import type { InquiryFilter, LinkedFilter, Page } from './rows/list-rows.ts'
import type { Inquiry, Resource, Verification } from './rows/columns.ts'

export type ReaderOptions = {
  /** `postgresql://...`, as `pg` reads it; a pooler may stand in between. */
  readonly url: string
  /** `<id>:<base64 of 32 bytes>`: the keys of STORAGE_ENCRYPTION_KEYS, in any order. Default: none. */
  readonly keys?: readonly string[] | undefined
  /** Gets the error of each attempt that met no PostgreSQL, for logs. The reader waits and tries again by itself. */
  readonly onOutage?: ((error: Error) => void) | undefined
}

/** Reads the tables and the change feed. @see docs/contract.md#6-change-feed-what-a-users-application-reads */
export interface Reader {
  /**
   * Iterates over the changes of a consumer, in batches, and waits for more at the end. It throws a `CursorExpiredError` where
   * changes behind the cursor were dropped. `break` and the signal end it and close what it opened.
   */
  changes(options: ChangesOptions): ChangeIteration
  /** The newest tick; 0 before the first. Read it before the rows, to start again from state. */
  latestTick(): Promise<bigint>
  /** The inquiry with its verifications as they stand; null where there is none. Throws a `DecryptionError`. */
  findInquiry(id: string): Promise<InquiryDetails | null>
  /** Throws a `DecryptionError`. */
  findVerification(id: string): Promise<VerificationDetails | null>
  /** Any other object: a report, an account, a session. Throws a `DecryptionError`. */
  findResource(id: string): Promise<ResourceDetails | null>
  /** A page of inquiries without their documents, which need no keys. */
  listInquiries(filter?: InquiryFilter): Promise<Page<Inquiry>>
  listVerifications(filter?: LinkedFilter): Promise<Page<Verification>>
  listResources(filter?: LinkedFilter): Promise<Page<Resource>>
  /** Ends iterations and closes all connections. Safe to repeat. */
  close(): Promise<void>
}

function expectConsumer(consumer: string): void {
  if (typeof consumer !== 'string' || consumer === '' || consumer.length > 255 || consumer.includes('\0'))
    throw new RangeError('Expected a name of 1 to 255 characters as consumer')
}

function expectFrom(from: From): void {
  if (from !== 'now' && from !== 'start' && typeof from !== 'bigint')
    throw new RangeError('Expected now, start or a tick (a bigint) as from')
}

/** Opens a reader. It never throws because PostgreSQL is away; a `RangeError` tells malformed keys. */
export function openReader({ url, keys = [], onOutage = () => undefined }: ReaderOptions): Reader {
  const ring = new KeyRing(keys)
  const connections = new Connections(url)
  const closing = new AbortController()
  const rows = {
    keys: ring,
    run: async (text: string, values: readonly unknown[]) => connections.query(text, values, closing.signal),
  }
  let closed: Promise<void> | undefined
  return {
    changes({ consumer, from = 'now', signal = closing.signal }) {
      expectConsumer(consumer)
      expectFrom(from)
      const ending = signal === closing.signal ? signal : AbortSignal.any([signal, closing.signal])
      return followChanges({ connections, consumer, from, signal: ending, closing: closing.signal, onOutage })
    },
    async latestTick() {
      const [row] = await rows.run('SELECT public.latest_change_tick() AS tick', [])
      return BigInt(row?.['tick'] ?? 0)
    },
    findInquiry: async (id) => findInquiry(rows, id),
    findVerification: async (id) => findVerification(rows, id),
    findResource: async (id) => findResource(rows, id),
    listInquiries: async (filter = {}) => listInquiries(rows, filter),
    listVerifications: async (filter = {}) => listVerifications(rows, filter),
    listResources: async (filter = {}) => listResources(rows, filter),
    async close() {
      closing.abort()
      await (closed ??= connections.close())
    },
  }
}
