export { envSchema } from './runner/env.ts'
export type { OpsDeps } from './runner/ops-deps.ts'
export { buildProgram, type ExitCode, runOps } from './program.ts'
