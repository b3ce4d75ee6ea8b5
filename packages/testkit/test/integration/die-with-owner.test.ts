import { access } from 'node:fs/promises'
import t from 'tap'
import { eventually, spawnApp } from '@persona-ingest/testkit'
import { descendants, processIdentity } from '../../src/process-identity.ts'

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
