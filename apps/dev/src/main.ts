import { exitOnInvalidEnv } from '@persona-ingest/service'
import { readEnv } from './env.ts'
import { runDev } from './run-dev.ts'
import { say } from './session.ts'

const env = exitOnInvalidEnv(() => readEnv())
process.exit(await runDev(env, say))
