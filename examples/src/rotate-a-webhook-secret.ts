/* Tells how far the rotation of a webhook secret is: which of two secrets the ingress accepts, and what to do next. */
import { createHmac } from 'node:crypto'
import { setTimeout as pause } from 'node:timers/promises'

// The same event each time, so that it is stored once. The type of its object is its own: no inquiry is touched.
const body = JSON.stringify({
  data: {
    type: 'event',
    id: 'evt_secret-rotation-check',
    attributes: {
      name: 'secret-rotation.checked',
      'created-at': '2026-01-01T00:00:00.000Z',
      payload: { data: { type: 'secret-rotation-check', id: 'secret-rotation-check', attributes: {} } },
    },
  },
})

/** One group of the header `Persona-Signature`: HMAC-SHA256 over time and body, by the secret as it is. */
function signature(secret: string): string {
  const t = Math.floor(Date.now() / 1000)
  return `t=${t},v1=${createHmac('sha256', secret).update(`${t}.${body}`).digest('hex')}`
}

async function answerTo(url: string, secrets: readonly string[]): Promise<number> {
  const answer = await fetch(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'persona-signature': secrets.map(signature).join(' ') },
    body,
    signal: AbortSignal.timeout(5_000),
  })
  await answer.arrayBuffer()
  return answer.status
}

async function accepts(url: string, secrets: readonly string[]): Promise<boolean> {
  let status = 503
  // 503 is no verdict on the secret: the ingress can't reach Redis. Like the provider, this asks again.
  for (let attempt = 1; status === 503 && attempt <= 5; attempt += 1) {
    if (attempt > 1) await pause(1_000)
    status = await answerTo(url, secrets)
  }
  if (status !== 200 && status !== 401) throw new Error(`Expected 200 or 401, got ${status}`)
  return status === 200
}

const NEXT = {
  'old only': 'Add the new secret to the list of the ingress, beside the old one, and restart its processes.',
  'old and new': 'Rotate in the Dashboard. Remove the old secret from the list when it has expired there.',
  'new only': 'The rotation is complete.',
  neither: 'The ingress has neither secret: deliveries are refused.',
} as const

function stepOf({ old, fresh }: { readonly old: boolean; readonly fresh: boolean }): keyof typeof NEXT {
  if (old) return fresh ? 'old and new' : 'old only'
  return fresh ? 'new only' : 'neither'
}

const { OLD_SECRET, NEW_SECRET } = process.env
const url = process.env['WEBHOOK_URL'] ?? 'http://127.0.0.1:8080/webhooks/persona'
if (!OLD_SECRET || !NEW_SECRET) {
  console.error('Set OLD_SECRET and NEW_SECRET (and WEBHOOK_URL, where the ingress is elsewhere).')
  process.exit(2)
}
const step = stepOf({ old: await accepts(url, [OLD_SECRET]), fresh: await accepts(url, [NEW_SECRET]) })
console.log(`The ingress accepts: ${step}. ${NEXT[step]}`)
// While both secrets are valid, the provider signs with both: two groups, of which one that matches is enough.
if (step === 'neither') process.exitCode = 1
else if (!(await accepts(url, [OLD_SECRET, NEW_SECRET]))) throw new Error('Expected 200 for a delivery with two groups')
