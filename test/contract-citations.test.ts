import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import t from 'tap'
import { root } from './structure/source-files.ts'

const CONTRACT = 'docs/contract.md'
/** They speak of citations, or are what is cited. */
const PASSED_OVER: ReadonlySet<string> = new Set([
  CONTRACT,
  'test/structure/measure.ts',
  relative(root, import.meta.filename),
])
/** Folders that are installed or made. */
const NOT_OURS: ReadonlySet<string> = new Set(['node_modules', 'dist', 'generated', '.git', '.tap', '.dev'])
/** The word, but not the file's name; `contracted` is another word. */
const WORD = /\bcontract\b(?!\.md)/i
const LINK = /([\w./-]*\bcontract\.md)(?:#([\w-]*))?/g
/** A list of pages names the page itself and no section. */
const PAGE_LINK = /\[Contract\]\(docs\/contract\.md\)/g

type Line = { readonly file: string; readonly place: string; readonly text: string }

function linesOf(file: string): readonly Line[] {
  const lines = readFileSync(join(root, file), 'utf8').split('\n')
  return lines.map((text, index) => ({ file, place: `${file}:${index + 1}`, text: text.replaceAll(PAGE_LINK, '') }))
}

/** Files that may cite, by path from the root. Git is not asked: a machine that runs the tests may not have it. */
function filesIn(folder: string): readonly string[] {
  return readdirSync(join(root, folder), { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name)
    if (entry.isDirectory()) return NOT_OURS.has(entry.name) ? [] : filesIn(path)
    return /\.(ts|md|prisma|sql|ya?ml)$/.test(entry.name) ? [path] : []
  })
}

/** The anchor that GitHub gives a heading. */
function anchorOf(heading: string): string {
  return heading
    .toLowerCase()
    .replaceAll(/[^\p{Letter}\p{Number}\s_-]/gu, '')
    .replaceAll(' ', '-')
}

/** Why a link leads nowhere, or null: Markdown resolves it from its own folder, comments name it from the root. */
function fault(file: string, path: string, anchor: string | undefined): string | null {
  const target = file.endsWith('.md') ? join(dirname(file), path) : path
  if (target !== CONTRACT) return `leads to ${target}`
  if (anchor === undefined) return 'names no section'
  return anchors.has(anchor) ? null : `there is no heading #${anchor}`
}

const headings = [...readFileSync(join(root, CONTRACT), 'utf8').matchAll(/^#+ (.+)$/gm)]
const anchors: ReadonlySet<string> = new Set(headings.map(([, heading]) => anchorOf(heading as string)))
const lines = filesIn('.')
  .filter((file) => !PASSED_OVER.has(file))
  .flatMap(linesOf)

t.test('each line that cites the contract links to it', async (t) => {
  const unlinked = lines.filter(({ text }) => WORD.test(text) && !text.includes('contract.md#'))
  t.same(
    unlinked.map(({ place, text }) => `${place}: ${text.trim()}`),
    [],
  )
})

t.test('each link to the contract leads to a heading of it', async (t) => {
  const links = lines.flatMap(({ file, place, text }) =>
    [...text.matchAll(LINK)].map(([, path, anchor]) => ({ place, fault: fault(file, path as string, anchor) })),
  )
  t.ok(links.length > 30, 'the pattern finds links')
  t.same(
    links.filter((link) => link.fault !== null),
    [],
  )
})
