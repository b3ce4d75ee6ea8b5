import { QueueUnavailableError } from '@persona-ingest/queue'
import { setTimeout as pause } from 'node:timers/promises'
import { CommandFailure } from '../runner/command-failure.ts'

const TRIES = 5
const PAUSE_MS = 1_000

/** Asks the queue, again where it is briefly away. Rejects with a `CommandFailure` in the end; repeating is safe. */
export async function patiently<T>(ask: () => Promise<T>): Promise<T> {
  for (let tries = 1; ; tries += 1) {
    try {
      return await ask()
    } catch (error) {
      if (!(error instanceof QueueUnavailableError)) throw error
      if (tries >= TRIES) {
        const advice = 'run the command again: what is in the queue already adds nothing'
        throw new CommandFailure(`queue: ${error.code}: ${error.message}; ${advice}`, { cause: error })
      }
      await pause(PAUSE_MS)
    }
  }
}
