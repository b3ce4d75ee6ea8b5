import { runCommand } from './run-command.ts'

/**
 * Lists the packages that must be fetched for `wanted` to run here: themselves, and every library that they need,
 * directly or through another, and that is not installed. Each release names its libraries differently.
 */
export async function missingPackages(wanted: readonly string[], aptOptions: readonly string[]): Promise<string[]> {
  const installed = await installedPackages()
  const fetched = [...wanted]
  for (const name of fetched) {
    const listing = await runCommand('apt-cache', [...aptOptions, 'depends', '--important', name])
    for (const choices of dependencies(listing)) {
      const first = choices[0]
      if (first === undefined || !first.startsWith('lib') || fetched.includes(first)) continue
      if (!choices.some((choice) => installed.has(choice))) fetched.push(first)
    }
  }
  return fetched
}

/** Reads `apt-cache depends`: a line that begins with `|` is an alternative to the one after it. */
export function dependencies(listing: string): string[][] {
  const groups: string[][] = []
  let open: string[] = []
  for (const line of listing.split('\n')) {
    const found = /^ (\||\s)(?:Pre)?Depends: (\S+)/.exec(line)
    if (found === null) continue
    open.push(found[2] ?? '')
    if (found[1] === '|') continue
    groups.push(open)
    open = []
  }
  return groups
}

async function installedPackages(): Promise<Set<string>> {
  const rows = await runCommand('dpkg-query', ['-W', '-f', '${db:Status-Abbrev} ${Package}\n'], { maxBuffer: 2 ** 26 })
  return new Set(
    rows
      .split('\n')
      .filter((row) => row.startsWith('ii'))
      .map((row) => row.split(' ').at(-1) ?? ''),
  )
}
