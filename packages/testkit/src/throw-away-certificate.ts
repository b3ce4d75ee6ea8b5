import { chmod, chown, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { temporaryFolder } from './cache-folder.ts'
import { runCommand, serverAccount } from './operating-system.ts'
import type { TestScope } from './test-scope.ts'

/** Paths to PEM files. */
export type Certificate = { readonly key: string; readonly cert: string }

/** Returns a value for `skip` of a test: false where openssl is installed, else the reason. */
export async function noCertificates(): Promise<string | false> {
  return runCommand('openssl', ['version']).then(
    () => false as const,
    () => 'not run: openssl is not installed here',
  )
}

/**
 * Creates a self-signed certificate for one test; servers of this package can read its key. `name` is in the form of
 * openssl: `DNS:webhooks.example`, `IP:127.0.0.1` (default).
 */
export async function throwAwayCertificate(t: TestScope, name = 'IP:127.0.0.1'): Promise<Certificate> {
  const folder = await temporaryFolder('certificate')
  t.teardown(() => rm(folder, { recursive: true, force: true }))
  const [key, cert] = [join(folder, 'key.pem'), join(folder, 'cert.pem')]
  const subject = ['-subj', '/CN=test', '-addext', `subjectAltName=${name}`]
  const kind = ['-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2']
  await runCommand('openssl', ['req', ...kind, ...subject, '-keyout', key, '-out', cert])
  const account = await serverAccount()
  if (account !== null) for (const path of [folder, key, cert]) await chown(path, account.uid, account.gid)
  await chmod(key, 0o600)
  await chmod(folder, 0o755)
  return { key, cert }
}
