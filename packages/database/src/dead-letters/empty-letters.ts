import type { SqlExecutor } from '../sql/executor.ts'
import { emptiedBody } from './dead-letter.ts'
import { readLetters, writeReducedLetter } from './redact.ts'

/** Leaves nothing of the letters named but what they failed for; returns their ids. Only within an exclusive write. */
export async function emptyLetters(executor: SqlExecutor, ids: readonly string[]): Promise<readonly string[]> {
  const emptiedIds: string[] = []
  for await (const letters of readLetters(executor, ids)) {
    for (const letter of letters) {
      await writeReducedLetter(executor, letter, emptiedBody())
      emptiedIds.push(letter.id)
    }
  }
  return emptiedIds
}
