import { createHash, randomBytes } from 'node:crypto'
import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { fileURLToPath } from 'node:url'

const require = createRequire(import.meta.url)
const { version } = require('esbuild/package.json')
const cache = fileURLToPath(new URL('../../node_modules/.cache/typescript/', import.meta.url))
mkdirSync(cache, { recursive: true })

/** Loads `.ts` files as JavaScript modules with a source map; everything else is as Node.js loads it. */
export async function load(url, context, nextLoad) {
  if (!url.startsWith('file:') || !url.endsWith('.ts')) return nextLoad(url, context)
  const file = fileURLToPath(url)
  const text = readFileSync(file, 'utf8')
  const key = createHash('sha256')
    .update(JSON.stringify([version, file, text]))
    .digest('hex')
  const source = cached(key) ?? (await compile(file, text, key))
  return { format: 'module', source, shortCircuit: true }
}

function cached(key) {
  try {
    return readFileSync(`${cache}${key}`, 'utf8')
  } catch {
    return null
  }
}

async function compile(file, text, key) {
  // A process that finds everything compiled does not load the compiler.
  const { transform } = require('esbuild')
  const { code } = await transform(text, {
    loader: 'ts',
    format: 'esm',
    target: 'node20',
    sourcefile: file,
    sourcemap: 'inline',
    sourcesContent: false,
    tsconfigRaw: { compilerOptions: { verbatimModuleSyntax: true } },
  })
  // Renamed into its place: another process must not read an incomplete file.
  const unfinished = `${cache}${key}.${randomBytes(4).toString('hex')}`
  writeFileSync(unfinished, code)
  renameSync(unfinished, `${cache}${key}`)
  return code
}
