import { createLogger, exitOnInvalidEnv } from '@persona-ingest/service'
import { readEnv } from './env.ts'
import { describeFailure, migrateWhenAvailable } from './migrate.ts'

const env = exitOnInvalidEnv(() => readEnv())
const logger = createLogger({ app: 'migrate', level: env.LOG_LEVEL })

try {
  const applied = await migrateWhenAvailable(env.DATABASE_URL, logger)
  logger.info({ applied }, applied.length === 0 ? 'database is up to date' : 'database migrated')
} catch (error) {
  process.stderr.write(`migration failed: ${describeFailure(error)}\n`)
  process.exitCode = 1
}
