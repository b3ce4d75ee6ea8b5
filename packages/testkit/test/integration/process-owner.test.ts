import { access, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { acquireLock, eventually, LockHeldError, spawnApp } from '@persona-ingest/testkit'
import t from 'tap'
import { descendants, processIdentity } from '../../src/process-owner.ts'

const entry = 'packages/testkit/test/fixtures/start-servers.ts'

for (const signal of ['SIGKILL', 'SIGTERM', 'SIGINT'] as const) {
  t.test(`servers, frozen ones too, and their folders go when their owner ends by ${signal}`, async (t) => {
    const owner = await spawnApp({ entry })
    t.teardown(() => owner.kill())
    const line = await owner.waitForLine((line) => line.startsWith('{'), { deadlineMs: 60_000 })
    const { pids, folders } = JSON.parse(line) as { pids: number[]; folders: string[] }
    const everyPid = [...pids, ...(await Promise.all(pids.map(descendants))).flat()]
    t.ok(everyPid.length > 3)
    owner.signal(signal)
    t.equal((await owner.exit).signal, signal)
    for (const pid of everyPid) await eventually(async () => (await processIdentity(pid)) === null)
    for (const folder of folders) {
      await eventually(() =>
        access(folder).then(
          () => false,
          () => true,
        ),
      )
    }
  })
}

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
