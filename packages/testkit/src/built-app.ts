import { join, resolve } from 'node:path'
import { waitForLock } from './cache-folder.ts'
import { runCommand } from './operating-system.ts'

export const repositoryRoot = resolve(import.meta.dirname, '../../..')

/**
 * Builds an app and the packages that it imports, and returns the absolute path of its built main module. Takes the name
 * of the app, such as `worker`. Throws an Error with the compiler's report where the sources do not compile.
 */
export async function builtApp(name: string): Promise<string> {
  const known = builds.get(name) ?? build(name)
  builds.set(name, known)
  await known
  return join(repositoryRoot, 'apps', name, 'dist/main.js')
}

/** A build that is current takes 0.2 s, so that each process checks an app once. */
const builds = new Map<string, Promise<void>>()

async function build(name: string): Promise<void> {
  // One at a time: a compiler that runs beside another one reads half-written files.
  const release = await waitForLock(join(repositoryRoot, 'node_modules/.build.lock'))
  try {
    const compiler = join(repositoryRoot, 'node_modules/typescript/bin/tsc')
    const { command, args } = nodeCommand([compiler, '-b', join('apps', name)])
    await runCommand(command, args, { cwd: repositoryRoot })
  } catch (error) {
    throw new Error(`apps/${name} does not compile: ${(error as Error).message}`, { cause: error })
  } finally {
    await release()
  }
}

/**
 * Returns the command line that runs Node.js with `options` as its NODE_OPTIONS. tap adds its own modules to the variable
 * of each child process, which more than doubles the time in which an app starts; `env` removes them again.
 */
export function nodeCommand(
  args: readonly string[],
  options = '',
): { readonly command: string; readonly args: readonly string[] } {
  return { command: 'env', args: [`NODE_OPTIONS=${options}`, process.execPath, ...args] }
}
