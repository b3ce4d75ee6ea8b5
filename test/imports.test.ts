import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { circularFiles, circularFolders, circularPackages } from './structure/circular-imports.ts'
import { readSources, root } from './structure/source-files.ts'

/** The packages that each package may import in production code, as in docs/architecture.md. */
const MAY_USE: Readonly<Record<string, readonly string[]>> = {
  core: [],
  service: ['core'],
  persona: ['core'],
  queue: ['core', 'persona'],
  database: ['core', 'persona'],
  reader: ['core'],
  operations: ['core', 'persona', 'queue', 'database', 'service'],
  simulator: ['persona'],
  testkit: ['core'],
  ingress: ['core', 'persona', 'queue', 'service'],
  worker: ['core', 'persona', 'queue', 'service', 'database'],
  migrate: ['core', 'service', 'database'],
  notifier: ['core', 'queue', 'reader', 'service', 'database'],
  ops: ['core', 'persona', 'queue', 'service', 'database', 'operations', 'simulator'],
  dev: ['core', 'persona', 'queue', 'service', 'database', 'simulator', 'testkit'],
}
/** Libraries that only the listed packages may import. */
const KEPT_IN: Readonly<Record<string, readonly string[]>> = {
  bullmq: ['queue'],
  ioredis: ['queue'],
  '@prisma/client': ['database'],
  '@prisma/adapter-pg': ['database'],
  pg: ['database', 'reader', 'testkit'],
  fastify: ['ingress'],
  '@fastify/otel': ['ingress'],
  'bullmq-otel': ['queue'],
  standardwebhooks: ['notifier'],
  '@opentelemetry/sdk-trace-node': ['service'],
}

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

t.test('packages depend on each other in one direction', async (t) => {
  for (const folder of folders) {
    const { name, dependencies = {} } = manifestOf(folder)
    const packageName = name.replace('@persona-ingest/', '')
    const allowed = MAY_USE[packageName]
    if (allowed === undefined) {
      t.fail(`${folder} is not in the list: add it to docs/architecture.md and here`)
      continue
    }
    const used = Object.keys(dependencies).filter((dependency) => dependency.startsWith('@persona-ingest/'))
    for (const dependency of used) {
      t.ok(allowed.includes(dependency.replace('@persona-ingest/', '')), `${packageName} may import ${dependency}`)
    }
    for (const dependency of Object.keys(dependencies)) {
      const packages = KEPT_IN[dependency]
      if (packages !== undefined) t.ok(packages.includes(packageName), `${packageName} may import ${dependency}`)
    }
  }
})

t.test('a package imports what its manifest lists, by entry points, and no file of another package', async (t) => {
  for (const folder of folders) {
    const { dependencies = {} } = manifestOf(folder)
    for (const file of sourcesOf(folder)) {
      for (const [, specifier] of readFileSync(file, 'utf8').matchAll(/(?:\bfrom|\bimport)\s*\(?'([^'{}]+)'/g)) {
        if (specifier === undefined || specifier.startsWith('node:')) continue
        if (specifier.startsWith('.')) {
          const target = join(file, '..', specifier)
          if (!target.startsWith(join(root, folder, 'src')))
            t.fail(`${file} imports a file of another package: ${specifier}`)
          continue
        }
        const name = specifier
          .split('/')
          .slice(0, specifier.startsWith('@') ? 2 : 1)
          .join('/')
        if (!(name in dependencies)) t.fail(`${file} imports ${name}, which its manifest does not list`)
        if (name.startsWith('@persona-ingest/') && name !== specifier)
          t.fail(`${file} bypasses the entry point: ${specifier}`)
      }
    }
  }
  t.pass(`${folders.length} packages read`)
})

t.test('every package has the same files', async (t) => {
  for (const folder of folders) {
    for (const part of ['package.json', 'README.md', 'src', 'test', 'tsconfig.json']) {
      t.ok(existsSync(join(root, folder, part)), `${folder}/${part}`)
    }
  }
})

t.test('folders of a package import in one direction, and files not in circles', async (t) => {
  const sources = readSources()
  t.same(circularFiles(sources), [])
  t.same(circularFolders(sources), [])
})

t.test('manifests name no packages in circles', async (t) => {
  t.same(circularPackages(), [])
})
