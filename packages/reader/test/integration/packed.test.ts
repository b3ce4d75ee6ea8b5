import { execFile } from 'node:child_process'
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'
import { aFeed } from '../fixtures/a-feed.ts'

const execute = promisify(execFile)
/** Without the modules that tap adds to each child process by NODE_OPTIONS. */
const run = async (
  command: string,
  args: readonly string[],
  options: { readonly cwd: string; readonly url?: string },
) => execute('env', ['NODE_OPTIONS=', `DATABASE_URL=${options.url ?? ''}`, command, ...args], { cwd: options.cwd })
const root = new URL('../../../../', import.meta.url).pathname

/** A strict program of a user; an error of types fails its check. */
const PROGRAM = `
import { CursorExpiredError, openReader, type Change, type Inquiry } from '@persona-ingest/reader'

const reader = openReader({ url: process.env['DATABASE_URL'] ?? '', keys: [] })
const seen: Change[] = []
try {
  for await (const { tick, changes, commit } of reader.changes({ consumer: 'packed', from: 'start' })) {
    const version: bigint | undefined = changes[0]?.version
    seen.push(...changes)
    await commit({ query: async (text: string, values: unknown[]) => [text, values] })
    await commit()
    console.log(JSON.stringify({ tick: String(tick), version: String(version), id: seen[0]?.objectId }))
    break
  }
  const { rows } = await reader.listInquiries({ status: ['pending'], order: 'id' })
  const first: Inquiry | undefined = rows[0]
  // The expected error is the check: the packed types know the families.
  // @ts-expect-error There is no family 'case'.
  console.log(first?.createdAt?.getTime() ?? null, seen[0]?.family === 'case')
} catch (error) {
  if (error instanceof CursorExpiredError) console.error(error.code satisfies 'PERSONA_CURSOR_EXPIRED')
  throw error
} finally {
  await reader.close()
}
`

const MANIFEST = { name: 'an-application', private: true, type: 'module' }
const TYPES = {
  strict: true,
  module: 'nodenext',
  target: 'es2022',
  types: ['node'],
  skipLibCheck: false,
  noEmit: false,
}

const running = process.env['npm_execpath'] ?? ''
/** The pnpm that runs the tests, a script or a program, or else one that npx fetches. */
function pnpmCommand(): readonly string[] {
  if (!running.includes('pnpm')) return ['npx', '--yes', 'pnpm@12']
  return /\.[cm]?js$/.test(running) ? [process.execPath, running] : [running]
}
const [command, ...args] = pnpmCommand()

/** Packs both packages as the README does. */
async function pack(folder: string): Promise<readonly string[]> {
  await run(join(root, 'node_modules/.bin/tsc'), ['-b', 'packages/reader'], { cwd: root })
  for (const name of ['core', 'reader'])
    await run(String(command), [...args, 'pack', '--pack-destination', folder], { cwd: join(root, 'packages', name) })
  return (await readdir(folder)).filter((file) => file.endsWith('.tgz')).map((file) => join(folder, file))
}

t.test(
  'packed, the package installs into an empty project, type checks there and reads',
  { timeout: 300_000 },
  async (t) => {
    const folder = await mkdtemp(join(tmpdir(), 'packed-reader-'))
    t.teardown(() => rm(folder, { recursive: true, force: true }))
    const project = join(folder, 'project')
    await mkdir(project)
    const files = await pack(folder)
    t.equal(files.length, 2)
    await writeFile(join(project, 'package.json'), JSON.stringify(MANIFEST))
    await writeFile(join(project, 'tsconfig.json'), JSON.stringify({ compilerOptions: TYPES, include: ['*.ts'] }))
    await writeFile(join(project, 'program.ts'), PROGRAM)
    const { devDependencies } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as {
      readonly devDependencies: Readonly<Record<string, string>>
    }
    // The types of pg are left out: the package's own types must do without.
    const packages = [...files, `@types/node@${devDependencies['@types/node']}`]
    const options = ['install', '--prefer-offline', '--no-audit', '--no-fund']
    const failure = await run('npm', [...options, ...packages], { cwd: project }).then(
      () => null,
      (error: Error) => error,
    )
    if (failure !== null) {
      t.comment(failure.message)
      t.pass('the project reads', { skip: 'not run: npm cannot install pg here' })
      return
    }
    t.strictSame((await readdir(join(project, 'node_modules/@persona-ingest'))).toSorted(), ['core', 'reader'])
    t.notOk((await readdir(join(project, 'node_modules'))).includes('@prisma'))
    const content = await readdir(join(project, 'node_modules/@persona-ingest/reader'), { recursive: true })
    t.notOk(content.some((file) => /\.tsbuildinfo$|^src|^test/.test(file)), content.join(' ')) // prettier-ignore
    await run(join(root, 'node_modules/.bin/tsc'), ['-p', '.'], { cwd: project }).catch(
      (error: { stdout?: string }) => {
        throw new Error(`the type check failed: ${error.stdout ?? ''}`)
      },
    )
    const feed = await aFeed(t)
    await feed.announce('inq_1')
    const { stdout } = await run(process.execPath, ['program.js'], { cwd: project, url: feed.url })
    t.equal(stdout.split('\n')[0], '{"tick":"1","version":"1","id":"inq_1"}')
  },
)
