import { setTimeout as pause } from 'node:timers/promises'
import type { Servers } from './servers.ts'

const LOOK_EVERY_MS = 50

/** Deliveries, or jobs of the textbook queue, that are not settled yet. */
async function isEmpty({ redis }: Servers, queue: string): Promise<boolean> {
  const [wait, active, delayed] = await Promise.all([
    redis.command('LLEN', `bull:${queue}:wait`),
    redis.command('LLEN', `bull:${queue}:active`),
    redis.command('ZCARD', `bull:${queue}:delayed`),
  ])
  return Number(wait) + Number(active) + Number(delayed) === 0
}

/** Resolves when a queue is empty. */
export async function untilDrained(servers: Servers, queue = 'persona-events'): Promise<void> {
  while (!(await isEmpty(servers, queue))) await pause(LOOK_EVERY_MS)
}

/** How many events are stored. */
export async function storedEvents({ postgres }: Servers): Promise<number> {
  const [row] = await postgres.sql('SELECT count(*)::int AS count FROM events')
  return Number(row?.['count'])
}
