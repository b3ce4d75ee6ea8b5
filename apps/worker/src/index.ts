export { buildWorker, type WorkerApp, type WorkerDependencies } from './app.ts'
export { envSchema, readEnv, type WorkerEnv } from './env.ts'
