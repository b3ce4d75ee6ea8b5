import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import type { LoadPlan, LoadResult } from './load-plan.ts'

export const SECRET = 'wbhsec_of-the-benchmarks'

/** A load whose bodies are built and signed, and which has not begun. */
export type PreparedLoad = { readonly pid: number; run(): Promise<LoadResult> }

async function message<T>(child: ChildProcess): Promise<T> {
  const ended = once(child, 'exit').then(([code]) => {
    throw new Error(`the load's process ended with ${code}`)
  })
  const [value] = (await Promise.race([once(child, 'message'), ended])) as [T]
  return value
}

/** Starts the process of a load and lets it build its requests. */
export async function prepareLoad(plan: Pick<LoadPlan, 'port' | 'bodies'> & Partial<LoadPlan>): Promise<PreparedLoad> {
  const child = fork(join(import.meta.dirname, 'load-process.ts'))
  const defaults = { secret: SECRET, connections: 32, ratePerSecond: null, lookUpEvery: 0, databaseUrl: null }
  child.send({ ...defaults, ...plan } satisfies LoadPlan)
  await message(child)
  return {
    pid: child.pid as number,
    async run() {
      child.send('go')
      return message<LoadResult>(child)
    },
  }
}

/** Runs a whole load. */
export async function runLoad(plan: Parameters<typeof prepareLoad>[0]): Promise<LoadResult> {
  return (await prepareLoad(plan)).run()
}
