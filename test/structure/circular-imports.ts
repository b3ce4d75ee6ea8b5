import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { readSources, root, type SourceFile } from './source-files.ts'

type Graph = ReadonlyMap<string, ReadonlySet<string>>

function graphOf(edges: Iterable<readonly [string, string]>): Graph {
  const graph = new Map<string, Set<string>>()
  for (const [from, to] of edges) graph.set(from, (graph.get(from) ?? new Set()).add(to))
  return graph
}

function reaches(graph: Graph, from: string, to: string): boolean {
  const seen = new Set<string>()
  const open = [from]
  for (let node = open.pop(); node !== undefined; node = open.pop()) {
    for (const next of graph.get(node) ?? []) {
      if (next === to) return true
      if (!seen.has(next)) open.push(next)
      seen.add(next)
    }
  }
  return false
}

/** Pairs of nodes of which each reaches the other, the first by one step. */
function circularPairs(graph: Graph): readonly string[] {
  const pairs = [...graph].flatMap(([from, targets]) =>
    [...targets]
      .filter((to) => to !== from && reaches(graph, to, from))
      .map((to) => [from, to].toSorted().join(' <-> ')),
  )
  return [...new Set(pairs)].toSorted((left, right) => left.localeCompare(right))
}

/** Files that import each other, directly or through others. */
export function circularFiles(sources: readonly SourceFile[]): readonly string[] {
  return circularPairs(
    graphOf(sources.flatMap(({ path, imports }) => imports.map((target) => [path, target] as const))),
  )
}

/** Folders of one package that import each other, directly or through others; the entry point may import all of them. */
export function circularFolders(sources: readonly SourceFile[]): readonly string[] {
  const folderOf = new Map(sources.map((source) => [source.path, `${source.package}/src/${source.folder}`]))
  const edges = sources
    .filter(({ path }) => !path.endsWith('/src/index.ts'))
    .flatMap(({ path, imports }) =>
      imports.map((target) => [folderOf.get(path) ?? path, folderOf.get(target) ?? target] as const),
    )
  return circularPairs(graphOf(edges))
}

/** Packages whose manifests name each other, development dependencies included. */
export function circularPackages(): readonly string[] {
  const folders = [...new Set(readSources().map((source) => source.package))]
  const edges = folders.flatMap((folder) => {
    const manifest = JSON.parse(readFileSync(join(root, folder, 'package.json'), 'utf8')) as {
      readonly name: string
      readonly dependencies?: Readonly<Record<string, string>>
      readonly devDependencies?: Readonly<Record<string, string>>
    }
    return Object.keys({ ...manifest.dependencies, ...manifest.devDependencies })
      .filter((name) => name.startsWith('@persona-ingest/'))
      .map((name) => [manifest.name, name] as const)
  })
  return circularPairs(graphOf(edges))
}
