/**
 * Loads TypeScript for tests: `node --import=./test/typescript/register.mjs`. Node.js 20 cannot do it itself. tsx can,
 * but it also takes over every CommonJS module of the dependencies, which costs 0.5 s of processor time for each process.
 */
import { register } from 'node:module'

register('./hooks.mjs', import.meta.url)
