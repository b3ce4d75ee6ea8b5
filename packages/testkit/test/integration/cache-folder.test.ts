import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { spawnApp } from '@persona-ingest/testkit'
import { buildOnce } from '../../src/cache-folder.ts'

t.test('several processes that want the same folder build it once and all find it whole', async (t) => {
  const folder = join(t.testdir(), 'deep/folder')
  const entry = 'packages/testkit/test/fixtures/build-once.ts'
  const apps = await Promise.all([1, 2, 3].map(() => spawnApp({ entry, args: [folder] })))
  t.teardown(() => Promise.all(apps.map((app) => app.kill())))
  const exits = await Promise.all(apps.map((app) => app.exit))
  t.same(
    exits.map(({ code }) => code),
    [0, 0, 0],
    apps.flatMap((app) => app.errorLines).join('\n'),
  )
  t.equal((await readFile(`${folder}.builders`, 'utf8')).trim().split('\n').length, 1)
  t.same((await readdir(folder)).toSorted(), ['first', 'second'])
})

t.test('a build that fails leaves nothing behind and is tried again', async (t) => {
  const root = t.testdir()
  const folder = join(root, 'folder')
  await t.rejects(
    buildOnce(folder, () => Promise.reject(new Error('no network'))),
    { message: 'no network' },
  )
  t.same(await readdir(root), [])
  await buildOnce(folder, () => Promise.resolve())
  t.same(await readdir(root), ['folder'])
})
