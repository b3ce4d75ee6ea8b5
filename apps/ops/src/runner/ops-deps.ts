import type { openDatabase } from '@persona-ingest/database'
import type { createProducer } from '@persona-ingest/queue'
import type { simulate } from '@persona-ingest/simulator'
import type { Confirm } from './confirmation.ts'
import type { readEnv } from './env.ts'
import type { Output } from '../output/output.ts'

/** All that commands reach the world through. */
export type OpsDeps = {
  readonly readEnv: typeof readEnv
  readonly output: Output
  /** Null where there is no terminal to ask on. */
  readonly confirm: Confirm | null
  /** Unix milliseconds. */
  readonly now: () => number
  readonly openDatabase: typeof openDatabase
  readonly createProducer: typeof createProducer
  readonly simulate: typeof simulate
}
