import { buildLifecycle, sendDelivery } from '@persona-ingest/simulator'
import { builtApp, eventually } from '@persona-ingest/testkit'
import t from 'tap'
import { runExample } from '../fixtures/run-example.ts'
import { SECRET, startApps } from '../fixtures/start-apps.ts'

const OPS_COMMAND = `${process.execPath} ${await builtApp('ops')}`

const REFUSE = `
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION 'refused for this test' USING ERRCODE = '22000'; END $$;
CREATE TRIGGER refuse BEFORE INSERT ON events FOR EACH ROW EXECUTE FUNCTION refuse()`

t.test('a dead letter is listed, fails again while its cause lasts, and is stored afterwards', async (t) => {
  const { databaseUrl, redisUrl, sql, webhookUrl } = await startApps(t)
  await sql(REFUSE)
  const [event] = buildLifecycle({ scenario: 'approved', seed: 'refused', startAtMs: Date.now() - 3_600_000 })
  if (event === undefined) throw new Error('Expected an event')
  const body = Buffer.from(JSON.stringify(event.document))
  const nowMs = Date.now()
  const request = { url: webhookUrl, body, secrets: [SECRET], nowMs, attempt: 1, firstAttemptedAtMs: nowMs }
  t.match(await sendDelivery(request), { isAcknowledged: true })
  const id = await eventually(async () => {
    const [letter] = await sql("SELECT id::text AS id FROM dead_letters WHERE state = 'open'")
    if (letter === undefined) throw new Error('there is no dead letter yet')
    return String(letter['id'])
  })

  const env = { OPS_COMMAND, DATABASE_URL: databaseUrl, REDIS_URL: redisUrl }
  const run = async (...args: string[]) => runExample('replay-a-dead-letter', { args, env })
  t.match(await run(), { code: 0, stdout: `${id} VALUE_REFUSED ${event.id}` })
  t.match(await run(id), { code: 1, stdout: `${id} failed again` })
  await sql('DROP TRIGGER refuse ON events')
  t.match(await run(id), { code: 0, stdout: `${id} is replayed: its event is stored` })
  t.same(await sql('SELECT id FROM events'), [{ id: event.id }])
  t.match(await sql('SELECT reason FROM operations'), [{ reason: 'the cause is mended' }, {}])
})
