export { envSchema } from './env.ts'
export type { OpsDeps } from './ops-deps.ts'
export { buildProgram } from './program.ts'
export { runOps, type ExitCode } from './run-ops.ts'
