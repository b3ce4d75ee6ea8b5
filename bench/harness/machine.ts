import { cpus, totalmem } from 'node:os'
import { readFileSync } from 'node:fs'
import { startPostgres, startRedis } from '@persona-ingest/testkit'

function versionOf(name: string): string {
  const manifest = readFileSync(new URL(`../../node_modules/${name}/package.json`, import.meta.url), 'utf8')
  return (JSON.parse(manifest) as { version: string }).version
}

/** What the results depend on. */
export async function describeMachine(): Promise<Record<string, unknown>> {
  const [redis, postgres] = await Promise.all([startRedis(), startPostgres()])
  try {
    const [row] = await postgres.sql('SHOW server_version')
    const info = String(await redis.command('INFO', 'server'))
    return {
      at: new Date().toISOString(),
      processors: `${cpus().length} x ${cpus()[0]?.model}`,
      memoryGb: Math.round(totalmem() / 2 ** 30),
      node: process.version,
      postgres: row?.['server_version'],
      redis: /redis_version:(\S+)/.exec(info)?.[1],
      libraries: Object.fromEntries(
        ['fastify', 'bullmq', 'ioredis', 'pg', 'prisma'].map((name) => [name, versionOf(name)]),
      ),
      configuration: 'appendonly yes, appendfsync always; PostgreSQL as it comes (fsync on); everything on one machine',
    }
  } finally {
    await Promise.all([redis.stop(), postgres.stop()])
  }
}
