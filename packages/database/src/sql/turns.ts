import type { PrismaClient } from '../generated/client.ts'

type Turns = { free: number; readonly waiting: (() => void)[] }

/**
 * Makes the function that runs work of one kind, at most `atOnce` at a time for each client, in the order of the calls.
 *
 * Much work at once must not wait for a connection of the pool: the time that it waits there is bounded, and reads as an
 * outage.
 */
export function turns(atOnce: number) {
  const turnsOf = new WeakMap<PrismaClient, Turns>()
  return async function inTurn<T>(prisma: PrismaClient, work: () => Promise<T>): Promise<T> {
    const own = turnsOf.get(prisma) ?? { free: atOnce, waiting: [] }
    turnsOf.set(prisma, own)
    if (own.free > 0) own.free -= 1
    else await new Promise<void>((resolve) => own.waiting.push(resolve))
    try {
      return await work()
    } finally {
      const next = own.waiting.shift()
      if (next === undefined) own.free += 1
      else next()
    }
  }
}
