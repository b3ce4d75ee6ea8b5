import { Client, Pool, type ClientConfig } from 'pg'
import type { TextRow } from './run.ts'

/**
 * No parsers of pg: the program that uses this package may have replaced them, and what they expect depends on settings of
 * the session.
 */
const TEXTS = { getTypeParser: () => (text: string) => text } as const

const CONNECT_TIMEOUT_MS = 5_000
/** For a server that does not answer at all. Pages take less than a second. */
const ANSWER_TIMEOUT_MS = 30_000
const CONNECTIONS = 4

function ignore(): void {}

/** Settles as `promise` does, but rejects at once where the signal is aborted. */
async function untilAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  let onAbort = ignore
  const aborted = new Promise<never>((_, reject) => {
    onAbort = () => reject(signal.reason as Error)
    if (signal.aborted) onAbort()
    else signal.addEventListener('abort', onAbort, { once: true })
  })
  try {
    return await Promise.race([promise, aborted])
  } finally {
    signal.removeEventListener('abort', onAbort)
    // The promise that lost the race may reject later.
    promise.catch(ignore)
  }
}

/**
 * The connections of one reader. Statements name everything with its schema and rely on no setting of a session, and none
 * is prepared: any pooler may stand in between.
 */
export class Connections {
  readonly #config: ClientConfig
  readonly #pool: Pool

  constructor(url: string) {
    this.#config = {
      connectionString: url,
      application_name: 'persona-ingest-reader',
      connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
      query_timeout: ANSWER_TIMEOUT_MS,
      keepAlive: true,
      keepAliveInitialDelayMillis: 10_000,
    }
    this.#pool = new Pool({ ...this.#config, max: CONNECTIONS })
    this.#pool.on('error', ignore)
    // A connection that breaks rejects its statement; without a listener its event would end the process.
    this.#pool.on('connect', (client) => void client.on('error', ignore))
  }

  /** Runs one statement. An abort ends its connection, and the statement with it. */
  async query(text: string, values: readonly unknown[], signal: AbortSignal): Promise<readonly TextRow[]> {
    const connecting = this.#pool.connect()
    const client = await untilAborted(connecting, signal).catch((error: unknown) => {
      connecting.then((late) => late.release(), ignore)
      throw error
    })
    try {
      const running = client.query<TextRow>({ text, values: [...values], types: TEXTS })
      const { rows } = await untilAborted(running, signal)
      client.release()
      return rows
    } catch (error) {
      client.release(true)
      throw error
    }
  }

  /** Opens a connection outside of the pool. The caller ends it. */
  async openClient(signal: AbortSignal): Promise<Client> {
    const client = new Client(this.#config)
    client.on('error', ignore)
    try {
      await untilAborted(client.connect(), signal)
      return client
    } catch (error) {
      client.end().catch(ignore)
      throw error
    }
  }

  async close(): Promise<void> {
    await this.#pool.end()
  }
}
