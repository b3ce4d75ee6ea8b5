export { buildApp, type AppDeps } from './app.ts'
export { DEVELOPMENT_SECRET, envSchema, readEnv, type IngressEnv } from './env.ts'
export { errors, IngressError, type IngressErrorCode } from './http/errors.ts'
