import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { acquireLock, LockHeldError, spawnApp } from '@persona-ingest/testkit'

const holder = 'packages/testkit/test/fixtures/hold-lock.ts'

t.test('a lock is held until its release', async (t) => {
  const file = join(t.testdir(), 'lock')
  const release = await acquireLock(file)
  const error = await acquireLock(file).catch((error: unknown) => error)
  t.ok(error instanceof LockHeldError)
  t.equal((error as LockHeldError).pid, process.pid)
  await release()
  await (
    await acquireLock(file)
  )()
})

t.test('a lock is held by another process while it lives and by nobody once it was killed', async (t) => {
  const file = join(t.testdir(), 'lock')
  const app = await spawnApp({ entry: holder, args: [file] })
  t.teardown(() => app.kill())
  await app.waitForLine((line) => line === 'held')
  await t.rejects(acquireLock(file), { name: 'LockHeldError', pid: app.pid })
  await app.kill()
  await (
    await acquireLock(file)
  )()
})

t.test('a holder whose number now belongs to a stranger holds nothing', async (t) => {
  const file = join(t.testdir(), 'lock')
  await acquireLock(file)
  const held = JSON.parse(await readFile(file, 'utf8')) as object
  await writeFile(file, JSON.stringify({ ...held, identity: 'of an earlier process' }))
  await (
    await acquireLock(file)
  )()
})
