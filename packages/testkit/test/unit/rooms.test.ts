import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'

/** The picture of docs/architecture.md: which room may use which, in code that is shipped. */
const MAY_USE: Readonly<Record<string, readonly string[]>> = {
  core: [],
  service: ['core'],
  persona: ['core'],
  queue: ['core', 'persona'],
  database: ['core', 'persona'],
  operations: ['core', 'persona', 'queue', 'database', 'service'],
  simulator: ['persona'],
  testkit: ['core', 'database'],
  ingress: ['core', 'persona', 'queue', 'service'],
  worker: ['core', 'persona', 'queue', 'service', 'database'],
  migrate: ['core', 'service', 'database'],
  ops: ['core', 'persona', 'queue', 'service', 'database', 'operations', 'simulator'],
  dev: ['core', 'persona', 'queue', 'service', 'database', 'simulator', 'testkit'],
}
/** Libraries that only one room may know. */
const KEPT_IN: Readonly<Record<string, readonly string[]>> = {
  bullmq: ['queue'],
  ioredis: ['queue'],
  '@prisma/client': ['database'],
  '@prisma/adapter-pg': ['database'],
  pg: ['database', 'testkit'],
  fastify: ['ingress'],
  '@fastify/otel': ['ingress'],
  'bullmq-otel': ['queue'],
  '@opentelemetry/sdk-trace-node': ['service'],
}

const root = fileURLToPath(new URL('../../../../', import.meta.url))
const folders = ['apps', 'packages'].flatMap((kind) => readdirSync(join(root, kind)).map((name) => join(kind, name)))
type Manifest = { readonly name: string; readonly dependencies?: Readonly<Record<string, string>> }

function manifestOf(folder: string): Manifest {
  return JSON.parse(readFileSync(join(root, folder, 'package.json'), 'utf8')) as Manifest
}

function sourcesOf(folder: string): readonly string[] {
  const files = readdirSync(join(root, folder, 'src'), { recursive: true, encoding: 'utf8' })
  return files
    .filter((file) => file.endsWith('.ts') && !file.startsWith('generated'))
    .map((file) => join(root, folder, 'src', file))
}

t.test('rooms use each other in one direction only', async (t) => {
  for (const folder of folders) {
    const { name, dependencies = {} } = manifestOf(folder)
    const room = name.replace('@persona-ingest/', '')
    const allowed = MAY_USE[room]
    if (allowed === undefined) {
      t.fail(`${folder} is not in the picture: add it to docs/architecture.md and here`)
      continue
    }
    const used = Object.keys(dependencies).filter((dependency) => dependency.startsWith('@persona-ingest/'))
    for (const dependency of used) {
      t.ok(allowed.includes(dependency.replace('@persona-ingest/', '')), `${room} may use ${dependency}`)
    }
    for (const dependency of Object.keys(dependencies)) {
      const rooms = KEPT_IN[dependency]
      if (rooms !== undefined) t.ok(rooms.includes(room), `${room} may know ${dependency}`)
    }
  }
})

t.test('a room imports only what its manifest lists, through doors, and nothing of another room by path', async (t) => {
  for (const folder of folders) {
    const { dependencies = {} } = manifestOf(folder)
    for (const file of sourcesOf(folder)) {
      for (const [, specifier] of readFileSync(file, 'utf8').matchAll(/(?:\bfrom|\bimport)\s*\(?'([^'{}]+)'/g)) {
        if (specifier === undefined || specifier.startsWith('node:')) continue
        if (specifier.startsWith('.')) {
          const target = join(file, '..', specifier)
          if (!target.startsWith(join(root, folder, 'src'))) t.fail(`${file} leaves its room: ${specifier}`)
          continue
        }
        const name = specifier
          .split('/')
          .slice(0, specifier.startsWith('@') ? 2 : 1)
          .join('/')
        if (!(name in dependencies)) t.fail(`${file} imports ${name}, which its manifest does not list`)
        if (name.startsWith('@persona-ingest/') && name !== specifier)
          t.fail(`${file} passes by the door: ${specifier}`)
      }
    }
  }
  t.pass(`${folders.length} rooms read`)
})

t.test('every room has the same inside', async (t) => {
  for (const folder of folders) {
    for (const part of ['package.json', 'README.md', 'src', 'test', 'tsconfig.json']) {
      t.ok(existsSync(join(root, folder, part)), `${folder}/${part}`)
    }
  }
})
