export { buildNotifier, type NotifierApp, type NotifierDependencies } from './app.ts'
export { endpointFaults } from './endpoint-error.ts'
export { envSchema, readEnv, type NotifierEnv } from './env.ts'
