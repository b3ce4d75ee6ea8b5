import { access } from 'node:fs/promises'
import t from 'tap'
import { builtApp, spawnApp } from '@persona-ingest/testkit'

const entry = 'packages/testkit/test/fixtures/talk.ts'

t.test('an app gets its own environment and arguments, and its output is collected', async (t) => {
  process.env['OF_THE_TEST'] = 'not for the app'
  t.teardown(() => delete process.env['OF_THE_TEST'])
  const app = await spawnApp({ entry, env: { GIVEN: 'yes', ABSENT: undefined }, args: ['one', 'two'] })
  t.teardown(() => app.kill())
  const told = JSON.parse(await app.waitForLine((line) => line.startsWith('{'))) as Record<string, unknown>
  t.match(told, { env: { GIVEN: 'yes', PATH: String }, args: ['one', 'two'] })
  t.notOk('OF_THE_TEST' in (told['env'] as object))
  t.equal((told['env'] as { NODE_OPTIONS?: string }).NODE_OPTIONS, '', 'the modules of tap stay in the test')
  t.ok((told['argv'] as string[]).includes('--conditions=@persona-ingest/source'))
  app.signal('SIGTERM')
  t.same(await app.exit, { code: 7, signal: null })
  t.equal(app.lines.at(-1), 'SIGTERM came')
  t.same(app.errorLines, ['a word to standard error'])
})

t.test('kill ends it at once', async (t) => {
  const app = await spawnApp({ entry })
  t.same(await app.kill(), { code: null, signal: 'SIGKILL' })
})

t.test('waiting for a line that does not come shows what came instead', async (t) => {
  const app = await spawnApp({ entry })
  t.teardown(() => app.kill())
  await app.waitForLine((line) => line.startsWith('{'))
  await t.rejects(
    app.waitForLine((line) => line === 'never', { deadlineMs: 50 }),
    { message: /^no line fits; exit: still running; [^]*"args":\[\]/ },
  )
})

t.test('an app that does not exist ends with its error in the output', async (t) => {
  const app = await spawnApp({ entry: 'packages/testkit/test/fixtures/no-such-app.ts' })
  t.equal((await app.exit).code, 1)
  t.match(app.errorLines.join('\n'), /ERR_MODULE_NOT_FOUND/)
})

t.test('an app runs from a build that is current', async (t) => {
  const main = await builtApp('ops')
  t.match(main, /apps\/ops\/dist\/main\.js$/)
  await access(main)
  const app = await spawnApp({ entry: 'apps/ops/src/main.ts', args: ['--help'] })
  t.same(await app.exit, { code: 0, signal: null })
})

t.test('an app that does not compile is refused with what the compiler says', async (t) => {
  await t.rejects(builtApp('none'), { message: /^apps\/none does not compile: [^]*TS6053/ })
})
