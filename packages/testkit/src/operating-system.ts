import { execFile, type ExecFileOptions } from 'node:child_process'
import { stat } from 'node:fs/promises'

/**
 * Runs a program to its end and returns its standard output. Throws an Error with the program's name and the end of its
 * standard error, or of its output where it wrote no error.
 */
export function runCommand(command: string, args: readonly string[], options: ExecFileOptions = {}): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = execFile(command, args, { ...options, encoding: 'utf8' }, (error, stdout, stderr) => {
      if (error === null) return resolve(stdout)
      const said = (stderr.trim() || stdout.trim()).slice(-1000)
      reject(new Error(`${command} failed: ${said === '' ? error.message : said}`, { cause: error }))
    })
    child.stdin?.end()
  })
}

/** The system user of a PostgreSQL server; null is the user of this process. */
export type ServerAccount = { readonly uid: number; readonly gid: number } | null

/**
 * Returns the user for PostgreSQL servers. PostgreSQL refuses to run as root: there it is `postgres`, or `nobody` on a
 * system without that user.
 */
export function serverAccount(): Promise<ServerAccount> {
  known ??= findAccount()
  return known
}

let known: Promise<ServerAccount> | undefined

async function findAccount(): Promise<ServerAccount> {
  if (process.getuid?.() !== 0) return null
  for (const name of ['postgres', 'nobody']) {
    const ids = await Promise.all([runCommand('id', ['-u', name]), runCommand('id', ['-g', name])]).catch(() => null)
    if (ids !== null) return { uid: Number(ids[0]), gid: Number(ids[1]) }
  }
  throw new Error('PostgreSQL refuses to run as root, and this system has neither a user "postgres" nor "nobody"')
}

/** Returns the account for a data folder: the owner of an existing one, else {@link serverAccount}. */
export async function ownerAccount(folder: string): Promise<ServerAccount> {
  const account = await serverAccount()
  const owner = await stat(folder).catch(() => null)
  if (account === null || owner === null || owner.uid === 0) return account
  return { uid: owner.uid, gid: owner.gid }
}

/** Tells whether an account can enter a folder and all folders above it. */
export async function isReachable(folder: string, account: ServerAccount): Promise<boolean> {
  return runCommand('/bin/sh', ['-c', 'cd "$1"', 'sh', folder], { ...account }).then(
    () => true,
    () => false,
  )
}
