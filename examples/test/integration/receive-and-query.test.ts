import t from 'tap'
import { runExample } from '../fixtures/run-example.ts'
import { SECRET, startApps } from '../fixtures/start-apps.ts'

t.test('events sent newest first end in the approved inquiry, with its verifications', async (t) => {
  const { databaseUrl, webhookUrl } = await startApps(t)
  const env = { DATABASE_URL: databaseUrl, WEBHOOK_URL: webhookUrl, PERSONA_WEBHOOK_SECRETS: SECRET }
  const { code, stdout, stderr } = await runExample('receive-and-query', { env })
  t.strictSame([code, stderr], [0, ''])
  const inquiry = JSON.parse(stdout)
  t.match(inquiry, { environment: 'sandbox', status: 'approved', decisionedAt: String })
  t.same(inquiry.verifications, [
    { type: 'verification/government-id', status: 'passed' },
    { type: 'verification/selfie', status: 'passed' },
  ])
})

t.test('without its variables it names them', async (t) => {
  const { code, stderr } = await runExample('receive-and-query', { env: {} })
  t.equal(code, 2)
  t.match(stderr, 'DATABASE_URL')
})
