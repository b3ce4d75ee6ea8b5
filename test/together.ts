import { readdirSync } from 'node:fs'
import { join, relative, sep } from 'node:path'
import { pathToFileURL } from 'node:url'
import t from 'tap'
import { root } from './structure/source-files.ts'

/** Which part of the files, from 1, of how many parts. */
type Part = { readonly part: number; readonly of: number }

/** Returns the unit tests and the tests of the whole repository, as paths from the root. */
export function unitTests(): readonly string[] {
  const folders = ['apps', 'packages'].flatMap((kind) =>
    readdirSync(join(root, kind)).map((name) => join(root, kind, name, 'test/unit')),
  )
  return [...folders, join(root, 'test')].flatMap(testFiles).toSorted()
}

function testFiles(folder: string): readonly string[] {
  return filesBelow(folder)
    .filter((file) => file.endsWith('.test.ts'))
    .map((file) => relative(root, join(folder, file)).replaceAll(sep, '/'))
}

function filesBelow(folder: string): readonly string[] {
  try {
    return readdirSync(folder, { recursive: true, encoding: 'utf8' })
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return []
    throw error
  }
}

/**
 * Runs test files one after the other in this process. Most unit tests take milliseconds, and a process of their own
 * takes 1.5 s. Each file still runs by itself, and must leave nothing behind in the process.
 */
export function together(files: readonly string[], { part, of }: Part): void {
  const mine = files.filter((_, index) => index % of === part - 1)
  // Within a test: the tests of the files wait for its end, and tap does not take the pause of an import for the end.
  t.test(`part ${part} of ${of}: ${mine.length} files load`, async (t) => {
    for (const file of mine) {
      await import(pathToFileURL(join(root, file)).href).catch((error: unknown) => t.error(error as Error, file))
    }
    t.ok(mine.length > 0)
  })
}
