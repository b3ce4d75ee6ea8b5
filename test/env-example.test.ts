import { readdirSync, readFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { loadEnv } from '@persona-ingest/service'
import type { TObject } from '@sinclair/typebox'
import t from 'tap'
import { root } from './structure/source-files.ts'

/**
 * As long as an app has no env module, its variables cannot be compared.
 *
 * @see docs/contract.md#3-environment-and-processes
 */
const APPS_WITH_ENV = ['ingress', 'worker', 'ops', 'migrate', 'notifier']

const example = Object.fromEntries(
  readFileSync(join(root, '.env.example'), 'utf8')
    .split('\n')
    .filter((line) => /^[A-Z]/.test(line))
    .map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]),
)

async function schemasByApp(): Promise<ReadonlyMap<string, TObject>> {
  const found = new Map<string, TObject>()
  for (const app of readdirSync(join(root, 'apps'))) {
    const source = join(root, 'apps', app, 'src')
    const file = readdirSync(source, { recursive: true, encoding: 'utf8' }).find((each) => basename(each) === 'env.ts')
    if (file === undefined) continue
    const { envSchema } = (await import(pathToFileURL(join(source, file)).href)) as { envSchema?: TObject }
    if (envSchema !== undefined) found.set(app, envSchema)
  }
  return found
}

t.test('.env.example lists every variable of every app', async (t) => {
  const schemas = await schemasByApp()
  t.ok(schemas.has('ingress'))
  for (const [app, schema] of schemas) {
    const missing = Object.keys(schema.properties).filter((name) => !(name in example))
    t.same(missing, [], app)
  }
})

t.test('.env.example lists nothing that no app reads', async (t) => {
  const schemas = await schemasByApp()
  const unread = APPS_WITH_ENV.filter((app) => !schemas.has(app))
  if (unread.length > 0) {
    t.comment(`no env module yet: ${unread.join(', ')}`)
    return
  }
  const known = new Set([...schemas.values()].flatMap((schema) => Object.keys(schema.properties)))
  t.same(
    Object.keys(example).filter((name) => !known.has(name)),
    [],
  )
})

t.test('.env.example is valid for every app', async (t) => {
  for (const [app, schema] of await schemasByApp()) t.doesNotThrow(() => loadEnv(schema, example), app)
})
