import { readdir, readFile } from 'node:fs/promises'
import { NO_KEYS } from '@persona-ingest/core'
import { batchIds, type PersonaEvent } from '@persona-ingest/persona'
import { eventually, throwAwayDatabase } from '@persona-ingest/testkit'
import t from 'tap'
import { makeChangeTick, migrate, openDatabase, storeEvents } from '../../src/index.ts'
import { isOutdated } from '../../src/sql/write-transactions.ts'
import { planWrite, writeParameters } from '../../src/store/plan-write.ts'
import { readStoredState } from '../../src/store/stored-state.ts'
import { writeSections } from '../../src/store/write-sql.ts'
import { eventOf } from '../fixtures/a-batch.ts'
import { anObject } from '../fixtures/an-event.ts'

const FEED = '20261130090000_change_feed'
const migrations = await readdir(new URL('../../../../prisma/migrations/', import.meta.url))
const older = migrations.filter((name) => /^\d/.test(name) && name < FEED).toSorted()
const { url, sql } = await throwAwayDatabase(t, { migrate: older })
const database = openDatabase({ encryptionKeys: [], url })
t.teardown(() => database.close())

/** The statement of the last version without the feed, as it was. */
const olderSql = await readFile(new URL('../fixtures/older-write.sql', import.meta.url), 'utf8')
const added = writeSections.indexOf('reduced')

/** Stores a batch as a worker of that version does. */
async function storeAsOlder(events: readonly PersonaEvent[]): Promise<void> {
  const known = await readStoredState(database.sql, batchIds(events))
  const plan = planWrite({ events, known, redactions: new Map(), erasures: new Map() })
  const parameters = writeParameters(plan, known.epoch, NO_KEYS).toSpliced(added, 1)
  await database.sql.query(olderSql, parameters).catch(async (error: unknown) => {
    if (!isOutdated(error)) throw error
    await storeAsOlder(events)
  })
}

let count = 0
/** An event that changes an inquiry and its verification. */
function event(inquiry: string, status: string): PersonaEvent {
  count += 1
  const createdAt = new Date(Date.UTC(2026, 1, 3) + count * 1_000).toISOString()
  const selfie = anObject('verification/selfie', `ver_${inquiry}`, { attributes: { status } })
  return eventOf({ id: `evt_${count}`, createdAt, data: anObject('inquiry', inquiry, { attributes: { status } }), included: [selfie] }) // prettier-ignore
}
const tick = async () => eventually(async () => (await makeChangeTick(database)) === 'ticked')

/** Versions of each object that are announced, and the version and status of its row. */
const toldSql = `
SELECT s.id, s.version::int, s.status, (SELECT array_agg(c.version::int ORDER BY c.seq) FROM changes c WHERE c.object_id = s.id) AS told,
  (SELECT c.status FROM changes c WHERE c.object_id = s.id ORDER BY c.seq DESC LIMIT 1) AS told_status
FROM (SELECT id, version, status FROM inquiries UNION ALL SELECT id, version, status FROM verifications) s`

t.test(
  'workers of the version before the feed write through its migration and after it, and each change is announced',
  async (t) => {
    const names = Array.from({ length: 8 }, (_, index) => `inq_${index}`)
    for (const name of names) await storeAsOlder([event(name, 'before')])
    const writing = { isOver: false }
    const olderWorker = async (mine: readonly string[]): Promise<void> => {
      for (let round = 0; !writing.isOver; round += 1)
        for (const name of mine) await storeAsOlder([event(name, `older ${round}`), event(`inq_new_${round}`, 'older')])
    }
    const olderWorkers = [olderWorker(names.slice(0, 4)), olderWorker(names.slice(4, 7))]
    await migrate({ databaseUrl: url })
    const migrated = new Set((await sql(toldSql)).map(({ id }) => id))
    const newestBefore = count
    for (let round = 0; round < 10; round += 1) {
      await storeEvents(database, [event('inq_0', `newer ${round}`), event('inq_5', `newer ${round}`)])
      await tick()
    }
    await eventually(() => count > newestBefore + 60)
    writing.isOver = true
    await Promise.all(olderWorkers)
    await tick()

    const rows = await sql(toldSql)
    t.ok(rows.length > 20)
    for (const { id, version, status, told, told_status: toldStatus } of rows) {
      if (told === null) {
        t.ok(version === 1 && migrated.has(id), `${String(id)} is as it was before the feed`)
        continue
      }
      const versions = told as readonly number[]
      // A row from before the feed has version 1, which is not announced.
      const from = versions[0] ?? 0
      t.ok(from === 1 || (from === 2 && migrated.has(id)))
      t.strictSame(
        versions,
        Array.from({ length: Number(version) - from + 1 }, (_, index) => from + index),
        String(id),
      )
      t.equal(toldStatus, status, String(id))
    }
    t.match(
      rows.find(({ id }) => id === 'inq_7'),
      { version: 1, told: null, status: 'before' },
    )
    const causes = await sql('SELECT DISTINCT cause FROM changes_between(0, latest_change_tick()) ORDER BY 1')
    t.strictSame(causes, [{ cause: 'event' }, { cause: 'rebuild' }], 'of newer and of older workers')
    const [read] = await sql(`SELECT count(*)::int AS read, (SELECT count(*)::int FROM changes) AS stored FROM changes_between(0, latest_change_tick())`) // prettier-ignore
    t.equal(read?.['read'], read?.['stored'])
  },
)
