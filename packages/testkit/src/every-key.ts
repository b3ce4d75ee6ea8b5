import type { RedisServer } from './redis-server.ts'
import type { Reply } from './resp.ts'

/** How to read a whole value, by its type. */
const READERS: Readonly<Record<string, (key: string) => readonly (string | number)[]>> = {
  string: (key) => ['GET', key],
  hash: (key) => ['HGETALL', key],
  list: (key) => ['LRANGE', key, 0, -1],
  set: (key) => ['SMEMBERS', key],
  zset: (key) => ['ZRANGE', key, 0, -1],
  stream: (key) => ['XRANGE', key, '-', '+'],
}

function spell(reply: Reply): string {
  return Array.isArray(reply) ? reply.map(spell).join(' ') : String(reply)
}

/** All that a Redis holds, as one text: every key of every type with its whole value. */
export async function everyKey({ command }: Pick<RedisServer, 'command'>): Promise<string> {
  const keys = (await command('KEYS', '*')) as string[]
  const lines = keys.map(async (key) => {
    const type = String(await command('TYPE', key))
    if (type === 'none') return ''
    const read = READERS[type]
    if (read === undefined) throw new Error(`Expected a known type of key, got ${type}`)
    return `${key} ${spell(await command(...read(key)))}`
  })
  return (await Promise.all(lines)).join('\n')
}
