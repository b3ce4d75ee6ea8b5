import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { openDevFolder, postgresFolder } from '../../src/local-servers.ts'

t.test('is held against a second dev until it is released', async (t) => {
  const folder = join(t.testdir(), '.dev')
  const { path, release } = await openDevFolder(folder)
  t.equal(path, folder)
  await t.rejects(openDevFolder(folder), {
    message: `Another dev runs on ${folder} already, as process ${process.pid}: stop it first.`,
  })
  await release()
  await (await openDevFolder(folder)).release()
})

t.test('holds the data of PostgreSQL where its user can reach it', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'persona-ingest-dev-'))
  t.teardown(() => rm(folder, { recursive: true }))
  const isRoot = process.getuid?.() === 0
  // mkdtemp makes a folder that nobody else can enter.
  const chosen = await postgresFolder(folder)
  t.teardown(() => rm(chosen, { recursive: true, force: true }))
  if (!isRoot) return t.equal(chosen, join(folder, 'postgres'))
  t.notOk(chosen.startsWith(folder))
  return t.equal(await postgresFolder(folder), chosen)
})
