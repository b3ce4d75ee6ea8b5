/*
 * Every change of the inside of ioredis, checked on 6.0.0. `test/integration/ioredis-quirks.test.ts` shows what ioredis
 * does without each.
 */
import type { Redis } from 'ioredis'
import { isRedisReply } from './errors.ts'

/** The replies of a Redis without such a database, of a Cluster, and of an ACL without `SELECT`; no retry changes that. */
const REFUSAL = /^(ERR|NOPERM) /

/**
 * Gives a connection up that can't select its database. `onRefused` is called where Redis itself refuses the number.
 *
 * ioredis only reports the refusal and goes on with database 0, which may hold the queue of another installation.
 *
 * @see https://github.com/redis/ioredis/issues/1213
 */
export function requireDatabase(client: Redis, onRefused: () => void): void {
  const select = client.select.bind(client)
  client.select = async (database: number) => {
    try {
      return await select(database)
    } catch (error) {
      // Without a login Redis refuses everything, and ioredis itself acts on that.
      const isLoginMissing = isRedisReply(error) && error.message.startsWith('NOAUTH')
      if (isRedisReply(error) && REFUSAL.test(error.message)) onRefused()
      if (!isLoginMissing) client.disconnect(true)
      throw error
    }
  }
}

/** Below this length a copy costs more than it saves. */
const LONG_TEXT = 4096

/**
 * Passes long texts to ioredis as bytes, which it copies once.
 *
 * ioredis measures a text, joins it with its frame and encodes the whole. For a job of 100 KB that took a sixth of the
 * time of an enqueue. No upstream issue found.
 */
export function sendLongTextAsBytes(client: Redis): void {
  const sendCommand = client.sendCommand.bind(client)
  client.sendCommand = (command, stream) => {
    const { args } = command
    for (let index = 0; index < args.length; index += 1) {
      const argument = args[index]
      if (typeof argument === 'string' && argument.length > LONG_TEXT) args[index] = Buffer.from(argument)
    }
    return sendCommand(command, stream)
  }
}
