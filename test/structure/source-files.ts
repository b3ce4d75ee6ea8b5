import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'

export const root = fileURLToPath(new URL('../../', import.meta.url)).replace(/\/$/, '')

/** A source file of an app or a package; `path`, `folder` and `imports` are relative to the repository. */
export type SourceFile = {
  readonly path: string
  /** `apps/worker`, `packages/queue`. */
  readonly package: string
  /** Folder inside of the package's `src`; `.` for `src` itself. */
  readonly folder: string
  readonly lineCount: number
  /** The files of the same package that it imports. */
  readonly imports: readonly string[]
  /** Names of the project's other packages that it imports. */
  readonly packages: readonly string[]
}

const IMPORT = /(?:\bfrom|\bimport)\s*\(?\s*'([^'{}]+)'/g

function readSource(packageFolder: string, file: string): SourceFile {
  const path = join(packageFolder, 'src', file)
  const text = readFileSync(join(root, path), 'utf8')
  const specifiers = [...text.matchAll(IMPORT)].map(([, specifier]) => specifier as string)
  const imports = specifiers
    .filter((specifier) => specifier.startsWith('.'))
    .map((specifier) => join(dirname(path), specifier))
    .filter((target) => !target.includes('/generated/'))
  const packages = specifiers.filter((specifier) => specifier.startsWith('@persona-ingest/'))
  const folder = dirname(relative(join(packageFolder, 'src'), path))
  return { path, package: packageFolder, folder, lineCount: text.split('\n').length - 1, imports, packages }
}

/** Every source file of `apps/<name>/src` and `packages/<name>/src`, generated code left out. */
export function readSources(): readonly SourceFile[] {
  return ['apps', 'packages'].flatMap((kind) =>
    readdirSync(join(root, kind))
      .toSorted()
      .flatMap((name) => {
        const packageFolder = join(kind, name)
        return readdirSync(join(root, packageFolder, 'src'), { recursive: true, encoding: 'utf8' })
          .filter((file) => file.endsWith('.ts') && !file.startsWith('generated'))
          .toSorted()
          .map((file) => readSource(packageFolder, file))
      }),
  )
}
