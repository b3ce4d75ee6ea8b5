import { openDatabase } from '@persona-ingest/database'
import { createProducer } from '@persona-ingest/queue'
import { simulate } from '@persona-ingest/simulator'
import { createOutput } from './output/output.ts'
import { runOps } from './program.ts'
import { isColorUnwanted, readEnv } from './runner/env.ts'
import { confirmOn } from './runner/ops-deps.ts'

/** A connection that does not close must not keep the finished process. */
const END_TIMEOUT_MS = 2_000

process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  // The reader of the output has closed it, as `head` does.
  if (error.code === 'EPIPE') return
  process.stderr.write(`error: the output could not be written (${error.code ?? 'unknown'})\n`)
  process.exit(1)
})

const output = createOutput(process, { color: !isColorUnwanted() })
const confirm = confirmOn(process)
const deps = { readEnv, output, confirm, now: Date.now, openDatabase, createProducer, simulate }
process.exitCode = await runOps(process.argv.slice(2), deps)
setTimeout(() => process.exit(), END_TIMEOUT_MS).unref()
