import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { chmod, chown, mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { buildOnce } from './build-once.ts'
import { cacheFolder } from './cache-folder.ts'
import type { PostgresPrograms } from './postgres-programs.ts'
import { runCommand } from './run-command.ts'
import { isReachable, ownerAccount, type ServerAccount } from './server-account.ts'

export const superuser = 'postgres'

/** The database that every new server has beside PostgreSQL's own. */
export const databaseName = 'persona_ingest'

/** Grows when the way a template is made changes, so that cached ones of the old way are left alone. */
const recipe = 2

/** Lies in the data folder; random, the same for all servers of one cache folder: nobody else may connect. */
const passwordFile = 'superuser-password'

/** What a server on a data folder needs to know: its superuser's password, and the user to run it as. */
export type DataFolder = { readonly password: string; readonly account: ServerAccount }

/**
 * Makes the data folder `<folder>/data` of a server on the first start and leaves it as it is afterwards.
 *
 * It is a copy of a cached one, since `initdb` takes seconds and a copy a tenth of one. Throws where PostgreSQL's
 * account can't enter `folder`.
 */
export async function prepareDataFolder(programs: PostgresPrograms, folder: string): Promise<DataFolder> {
  const data = join(folder, 'data')
  const account = await ownerAccount(data)
  await mkdir(folder, { recursive: true, mode: 0o700 })
  await giveTo(account, folder)
  if (!(await isReachable(folder, account))) throw new Error(`PostgreSQL's user can't enter ${folder}`)
  await buildOnce(data, (unfinished) => copyTemplate(programs, unfinished, account))
  return { password: await readFile(join(data, passwordFile), 'utf8'), account }
}

async function copyTemplate(programs: PostgresPrograms, target: string, account: ServerAccount): Promise<void> {
  const template = join(await cacheFolder(), `postgres-template-${recipe}-${programs.version}-${account?.uid ?? 'own'}`)
  await buildOnce(template, (unfinished) => buildTemplate(programs, unfinished, account))
  await giveTo(account, target)
  const clone = process.platform === 'darwin' ? ['-c'] : []
  await runCommand('cp', [...clone, '-Rp', `${template}/.`, target], { ...account, cwd: '/' })
}

async function giveTo(account: ServerAccount, folder: string): Promise<void> {
  await chmod(folder, 0o700)
  if (account !== null) await chown(folder, account.uid, account.gid)
}

async function buildTemplate(programs: PostgresPrograms, data: string, account: ServerAccount): Promise<void> {
  await giveTo(account, data)
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
  // For the moment; what holds is written to pg_hba.conf above.
  '--auth=trust',
  '--encoding=UTF8',
  // The same on every system; and not byte order, so that a query which forgot COLLATE "C" sorts wrongly in a test.
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
      // Single-user mode exits 0 even when a statement failed, and says so only in its log.
      if (error === null && !/ERROR|FATAL|PANIC/.test(stderr)) return resolve()
      reject(new Error(`PostgreSQL in single-user mode failed: ${stderr.slice(-1000)}`, { cause: error }))
    })
    child.stdin?.end(statements.map((statement) => `${statement};\n`).join(''))
  })
}
