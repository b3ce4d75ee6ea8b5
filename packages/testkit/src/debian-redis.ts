import { mkdir, readdir, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { buildOnce } from './build-once.ts'
import { cacheFolder } from './cache-folder.ts'
import { missingPackages } from './debian-packages.ts'
import type { RedisProgram } from './redis-program.ts'
import { runCommand } from './run-command.ts'

/**
 * Fetches the Redis server of the running Debian or Ubuntu release, signed by the distribution, into the cache folder
 * without installing it; gives null on any other system. Once fetched it needs no network.
 */
export async function debianRedis(): Promise<RedisProgram | null> {
  const release = await debianRelease()
  if (release === null) return null
  const root = join(await cacheFolder(), `redis-${release}-${process.arch}`)
  await buildOnce(root, fetchInto)
  return { command: join(root, 'usr/bin/redis-server'), env: { LD_LIBRARY_PATH: await libraryPath(root) } }
}

/** The release's id and version (`debian-12`) where apt is there to fetch packages, else null. */
async function debianRelease(): Promise<string | null> {
  const tools = await Promise.all(['apt-get', 'dpkg-deb'].map((tool) => runCommand(tool, ['--version']))).catch(
    () => null,
  )
  if (tools === null) return null
  const text = await readFile('/etc/os-release', 'utf8').catch(() => '')
  const field = (name: string) => new RegExp(`^${name}="?([^"\n]*)"?$`, 'm').exec(text)?.[1] ?? 'unknown'
  return `${field('ID')}-${field('VERSION_ID')}`
}

async function fetchInto(root: string): Promise<void> {
  const work = join(root, 'apt')
  try {
    await download(work, [])
  } catch {
    // No package lists, or so old that they name files which the mirror no longer has: get lists of our own.
    await rm(work, { recursive: true, force: true })
    await download(work, await ownLists(join(root, 'apt-lists')))
  }
  const archives = (await readdir(work)).filter((name) => name.endsWith('.deb'))
  for (const archive of archives) await runCommand('dpkg-deb', ['-x', join(work, archive), root])
  for (const folder of [work, join(root, 'apt-lists')]) await rm(folder, { recursive: true, force: true })
}

/** Fetches the package lists into a folder of our own, as an ordinary user may, and gives the options to use them. */
async function ownLists(folder: string): Promise<string[]> {
  const options = ['-o', `Dir::State::Lists=${join(folder, 'lists')}`, '-o', `Dir::Cache=${join(folder, 'cache')}`]
  await mkdir(join(folder, 'lists/partial'), { recursive: true })
  await mkdir(join(folder, 'cache/archives/partial'), { recursive: true })
  // By itself `update` is content with lists that it could not fetch.
  await runCommand('apt-get', ['-q', ...options, '-o', 'APT::Update::Error-Mode=any', 'update'])
  return options
}

async function download(folder: string, aptOptions: readonly string[]): Promise<void> {
  await mkdir(folder)
  const packages = await missingPackages(['redis-server', 'redis-tools'], aptOptions)
  await runCommand('apt-get', ['-q', ...aptOptions, 'download', ...packages], { cwd: folder })
}

/** Libraries lie in a folder named after the machine (usr/lib/x86_64-linux-gnu). */
async function libraryPath(root: string): Promise<string> {
  const found = await Promise.all(
    ['usr/lib', 'lib'].map(async (folder) => {
      const names = await readdir(join(root, folder)).catch(() => [])
      return names.filter((name) => name.includes('-linux-')).map((name) => join(root, folder, name))
    }),
  )
  return found.flat().join(':')
}
