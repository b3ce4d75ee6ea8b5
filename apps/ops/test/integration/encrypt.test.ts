import { everyRow, marksIn, throwAwayDatabase } from '@persona-ingest/testkit'
import t from 'tap'
import { runHere } from '../fixtures/run-here.ts'
import { MARKER, storeExamples } from '../fixtures/stored-events.ts'

const { url, sql } = await throwAwayDatabase(t)
await storeExamples(url, sql)
// These columns stay readable: they are what rows are looked up by.
await sql(`UPDATE inquiries SET reference_id = NULL, tags = '{}'`)
await sql(`UPDATE verifications SET country_code = NULL, checks = '[]'`)
await sql(`UPDATE inquiries SET relationships = '{}'`)
const [a, b] = ['a', 'b'].map((id) => `${id}:${Buffer.alloc(32, id).toString('base64')}`)
const env = { DATABASE_URL: url, LOG_LEVEL: 'silent' }
const ops = async (keys: string | undefined, ...args: string[]) =>
  await runHere(args, keys === undefined ? env : { ...env, STORAGE_ENCRYPTION_KEYS: keys })

t.test('without keys there is nothing to encrypt with', async (t) => {
  t.match(await ops(undefined, 'encrypt'), { code: 1, stderr: /STORAGE_ENCRYPTION_KEYS is not set/ })
})

t.test('it encrypts what is stored, tells how much, and is recorded', async (t) => {
  t.strictSame(marksIn(await everyRow(sql), [MARKER]), [MARKER])
  const { code, stdout, stderr } = await ops(a, 'encrypt', '--reason', 'policy', '--by', 'zoe')
  t.strictSame([code, stderr], [0, ''])
  t.match(stdout, /^encrypted in events.payload +4\n[^]*encrypted in dead_letters.body +3\n$/)
  t.strictSame(marksIn(await everyRow(sql), [MARKER]), [])
  t.match(await sql('SELECT command, operator, reason, outcome, counts FROM operations WHERE outcome = $1', ['done']), [
    { command: 'encrypt', operator: 'zoe', reason: 'policy', outcome: 'done', counts: { 'events.payload': 4 } },
  ])
})

t.test('every command opens with the key, and says what is wrong without it', async (t) => {
  for (const command of [
    ['events', 'show', 'evt_approved'],
    ['inquiries', 'show', 'inq_1'],
  ]) {
    t.match((await ops(a, ...command, '--reveal')).stdout, MARKER)
    t.notMatch((await ops(a, ...command)).stdout, MARKER)
    const stderr = /^error: (payload of evt_approved in events|attributes of inq_1 in inquiries) is sealed with the key "a", which is not here; check STORAGE_ENCRYPTION_KEYS/ // prettier-ignore
    t.match(await ops(undefined, ...command), { code: 1, stderr })
  }
  t.match(await ops(undefined, 'rebuild', '--verify'), { code: 1, stderr: /give STORAGE_ENCRYPTION_KEYS/ })
  t.match(await ops(`${b},${a}`, 'rebuild', '--verify'), { code: 1, stderr: /run `ops encrypt` first/ })
})

t.test('a rotation: one call, by its older name too, then the old key can go', async (t) => {
  t.match(JSON.parse((await ops(`${b},${a}`, 'seal', '--json')).stdout), { sealed: { 'events.payload': 4 } })
  t.match((await ops(b, 'events', 'show', 'evt_approved', '--reveal')).stdout, MARKER)
  t.match(await ops(a, 'encrypt'), { code: 1, stderr: /sealed with the key "b", which is not here/ })
})
