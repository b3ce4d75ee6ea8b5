// Prints the figures of the source tree: files, lines, importers, circular imports, words that point outside.
// With `--path` it also runs one delivery through ingress and worker and lists the source files that executed.
import { execFileSync } from 'node:child_process'
import { circularFolders, circularFiles, circularPackages } from './circular-imports.ts'
import { executedFiles } from './executed-files.ts'
import { readSources, root, type SourceFile } from './source-files.ts'

/** A file of so few lines that has one importer belongs to its importer, unless it is one of a family of equals. */
const SMALL_FILE_LINES = 40

function importerCounts(sources: readonly SourceFile[]): ReadonlyMap<string, number> {
  const counts = new Map(sources.map(({ path }) => [path, 0]))
  for (const { path, imports } of sources) {
    if (path.endsWith('/index.ts')) continue
    for (const target of new Set(imports)) counts.set(target, (counts.get(target) ?? 0) + 1)
  }
  return counts
}

/** Lines that cite a contract without a link to docs/contract.md. */
function outsideReferences(): readonly string[] {
  const pattern = "the contract|contract's|contract, section"
  const found = execFileSync('git', ['grep', '-niE', pattern, '--', '*.ts', '*.md', ':!docs/contract.md', ':!test'], {
    cwd: root,
    encoding: 'utf8',
  })
  return found.split('\n').filter((line) => line !== '' && !line.includes('contract.md'))
}

const sources = readSources()
const importers = importerCounts(sources)
const lines = sources.map(({ lineCount }) => lineCount).toSorted((left, right) => left - right)
const small = sources.filter(({ path, lineCount }) => lineCount < SMALL_FILE_LINES && importers.get(path) === 1)

const figures: readonly (readonly [string, number | string])[] = [
  ['source files', sources.length],
  ['lines of source', lines.reduce((sum, count) => sum + count, 0)],
  ['lines of a file, median / longest', `${lines[Math.floor(lines.length / 2)]} / ${lines.at(-1)}`],
  ['files of 25 lines or fewer', lines.filter((count) => count <= 25).length],
  ['files with exactly one importer', [...importers.values()].filter((count) => count === 1).length],
  [`files below ${SMALL_FILE_LINES} lines with one importer`, small.length],
  ['pairs of files that import each other', circularFiles(sources).length],
  ['pairs of folders of a package in a circle of imports', circularFolders(sources).length],
  ['packages in a circle of dependencies', circularPackages().length],
  ['references to a contract outside of the repository', outsideReferences().length],
]
for (const [name, value] of figures) console.log(`${name}: ${value}`)
for (const pair of [...circularFiles(sources), ...circularFolders(sources), ...circularPackages()])
  console.log(`  ${pair}`)
if (process.argv.includes('--path')) {
  const executed = await executedFiles()
  console.log(`source files that execute for one delivery: ${executed.length}`)
  for (const path of executed) console.log(`  ${path}`)
}
