import t from 'tap'
import { throwAwayDatabase } from '@persona-ingest/testkit'
import { countDriftedEvents, openDatabase } from '../../src/index.ts'
import { give } from '../fixtures/give.ts'
import { lifecycles } from '../model/lifecycles.ts'

t.test('events whose row was taken away or set back by hand are counted, others are not', async (t) => {
  const { url, sql } = await throwAwayDatabase(t)
  const database = openDatabase({ encryptionKeys: [], url })
  t.teardown(() => database.close())
  await give(database, Object.values(lifecycles)[0]!)
  t.equal(await countDriftedEvents(database), 0)
  await sql("UPDATE inquiries SET event_created_at = event_created_at - interval '1 day'")
  t.equal(await countDriftedEvents(database), 4, "all of the inquiry's own events are newer than its row")
  await sql('DELETE FROM verifications')
  t.equal(await countDriftedEvents(database), 6)
})
