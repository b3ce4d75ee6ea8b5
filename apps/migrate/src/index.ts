export { envSchema, readEnv } from './env.ts'
