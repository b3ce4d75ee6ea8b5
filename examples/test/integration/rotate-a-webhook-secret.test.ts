import { throwAwayRedis } from '@persona-ingest/testkit'
import t from 'tap'
import { runExample } from '../fixtures/run-example.ts'
import { startIngress } from '../fixtures/start-apps.ts'

const OLD_SECRET = 'wbhsec_old-secret-of-this-test'
const NEW_SECRET = 'wbhsec_new-secret-of-this-test'

t.test('each step of a rotation is told, and what to do next', async (t) => {
  const { url: redisUrl } = await throwAwayRedis(t)
  const checked = async (...secrets: string[]) => {
    const { webhookUrl, stop } = await startIngress(t, { redisUrl, secrets })
    const env = { WEBHOOK_URL: webhookUrl, OLD_SECRET, NEW_SECRET }
    const result = await runExample('rotate-a-webhook-secret', { env })
    await stop()
    return result
  }
  t.match(await checked(OLD_SECRET), { code: 0, stdout: 'old only. Add the new secret', stderr: '' })
  t.match(await checked(OLD_SECRET, NEW_SECRET), { code: 0, stdout: 'old and new. Rotate', stderr: '' })
  t.match(await checked(NEW_SECRET), { code: 0, stdout: 'new only. The rotation is complete', stderr: '' })
  t.match(await checked('wbhsec_another-secret-of-this-test'), { code: 1, stdout: 'neither' })
})
