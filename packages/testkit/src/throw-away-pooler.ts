import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { chown, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { temporaryFolder } from './cache-folder.ts'
import { dieWithOwner } from './die-with-owner.ts'
import { eventually } from './eventually.ts'
import { freePort, isPortFree } from './free-port.ts'
import type { PostgresServer } from './postgres-server.ts'
import { runCommand } from './run-command.ts'
import { serverAccount } from './server-account.ts'
import type { TestScope } from './test-scope.ts'

const COMMANDS = ['pgbouncer', '/usr/sbin/pgbouncer']

async function findPgBouncer(): Promise<string | null> {
  for (const command of COMMANDS) {
    const runs = await runCommand(command, ['--version']).then(
      () => true,
      () => false,
    )
    if (runs) return command
  }
  return null
}

/** Why there can be no PgBouncer here, or false: a value for `skip` of a test. */
export async function noPgBouncer(): Promise<string | false> {
  return (await findPgBouncer()) === null ? 'not run: pgbouncer is not installed here' : false
}

export type PoolerOptions = {
  readonly mode: 'session' | 'transaction' | 'statement'
  /** Further settings of the section `pgbouncer`. Default: none, so that the rest is as PgBouncer has it. */
  readonly settings?: Readonly<Record<string, string>>
}

/** Starts PgBouncer in front of a server for one test; gives the address of a database behind it. */
export async function throwAwayPooler(
  t: TestScope,
  server: PostgresServer,
  { mode, settings = {} }: PoolerOptions,
): Promise<{ readonly url: (databaseName?: string) => string }> {
  const command = await findPgBouncer()
  if (command === null) throw new Error('pgbouncer is not installed here')
  const [folder, port, account] = await Promise.all([temporaryFolder('pgbouncer'), freePort(), serverAccount()])
  const { username, password } = new URL(server.url())
  const lines = Object.entries({
    listen_addr: '127.0.0.1',
    listen_port: String(port),
    unix_socket_dir: '',
    auth_type: 'any',
    pool_mode: mode,
    ...settings,
  }).map(([name, value]) => `${name} = ${value}`)
  const database = `* = host=127.0.0.1 port=${server.port} user=${username} password=${password}`
  const file = join(folder, 'pgbouncer.ini')
  await writeFile(file, ['[databases]', database, '[pgbouncer]', ...lines, ''].join('\n'))
  if (account !== null) for (const path of [folder, file]) await chown(path, account.uid, account.gid)
  const child = spawn(command, [file], { ...account, cwd: folder, stdio: 'ignore' })
  const callOff = dieWithOwner([child.pid ?? 0])
  t.teardown(async () => {
    const gone = once(child, 'exit')
    if (child.exitCode === null) {
      child.kill('SIGKILL')
      await gone
    }
    callOff()
    await rm(folder, { recursive: true, force: true })
  })
  await eventually(async () => !(await isPortFree(port)), { deadlineMs: 30_000 })
  return { url: (name) => server.url(name).replace(`:${server.port}/`, `:${port}/`) }
}
