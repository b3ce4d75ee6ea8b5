import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { dirname, join } from 'node:path'
import t from 'tap'
import { root } from './structure/source-files.ts'

/** Folders that are installed or generated. */
const PASSED_OVER: ReadonlySet<string> = new Set(['node_modules', 'dist', 'generated', '.git', '.tap', '.dev'])
const MARKDOWN_LINK = /\]\((?!https?:|mailto:)([^)#\s]*)(?:#([^)\s]+))?\)/g
/** A page that code, settings or a comment name from the root, with or without an anchor. */
const NAMED_PAGE = /\b(docs\/[\w/-]+\.md)(?:#([\w-]+))?/g

/** Pages that record the past, or what is known of the provider: they may name a file of their time. */
const HISTORICAL = /^docs\/adr\/|^docs\/persona\.md$|^CHANGELOG\.md$/
/** A file or folder that a page names from the root, in code style; a README also names those of its own folder. */
const NAMED_FILE = /`((?:apps|packages|examples|test|bench|deploy|prisma)\/[\w./-]+)`/g

type Link = { readonly place: string; readonly target: string; readonly anchor: string | undefined }

function filesIn(folder: string): readonly string[] {
  return readdirSync(join(root, folder), { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name)
    if (entry.isDirectory()) return PASSED_OVER.has(entry.name) ? [] : filesIn(path)
    return /\.(ts|md|prisma|sql|ya?ml|example)$|^Dockerfile$/.test(entry.name) ? [path] : []
  })
}

/** The anchor that GitHub gives a heading. */
function anchorOf(heading: string): string {
  return heading
    .toLowerCase()
    .replaceAll(/[^\p{Letter}\p{Number}\s_-]/gu, '')
    .replaceAll(' ', '-')
}

function anchorsOf(page: string): readonly string[] {
  const text = readFileSync(join(root, page), 'utf8').replaceAll(/^```[\s\S]*?^```/gm, '')
  return [...text.matchAll(/^#+ (.+)$/gm)].map(([, heading]) => anchorOf(heading as string))
}

function linksIn(file: string, pattern: RegExp, folder: string): readonly Link[] {
  return readFileSync(join(root, file), 'utf8')
    .split('\n')
    .flatMap((line, index) =>
      [...line.matchAll(pattern)].map(([, path, anchor]) => ({
        place: `${file}:${index + 1}`,
        target: path === '' ? file : join(folder, path as string),
        anchor,
      })),
    )
}

function isBroken({ target, anchor }: Link): boolean {
  if (!existsSync(join(root, target))) return true
  if (anchor === undefined || statSync(join(root, target)).isDirectory()) return false
  return !anchorsOf(target).includes(anchor)
}

const files = filesIn('.')

t.test('each link of a page leads to a file, and its anchor to a heading', async (t) => {
  const links = files
    .filter((file) => file.endsWith('.md'))
    .flatMap((file) => linksIn(file, MARKDOWN_LINK, dirname(file)))
  t.ok(links.length > 100, 'the pattern finds links')
  t.same(links.filter(isBroken), [])
})

t.test('each page of docs/ that code or a setting names exists, and so does the heading', async (t) => {
  const links = files
    .filter((file) => !file.endsWith('.md'))
    .flatMap((file) => linksIn(file, NAMED_PAGE, '.'))
    .filter(({ place }) => !place.startsWith('test/links.test.ts'))
  t.ok(links.length > 20, 'the pattern finds pages')
  t.same(links.filter(isBroken), [])
})

t.test('each file or folder of the repository that a page names exists', async (t) => {
  const links = files
    .filter((file) => file.endsWith('.md') && !HISTORICAL.test(file))
    .flatMap((file) => linksIn(file, NAMED_FILE, '.').map((link) => ({ ...link, folder: dirname(file) })))
  t.ok(links.length > 100, 'the pattern finds files')
  const isThere = ({ folder, target }: { folder: string; target: string }) =>
    [target, join(folder, target)].some((path) => existsSync(join(root, path)))
  t.same(
    links.filter((link) => !isThere(link)),
    [],
  )
})
