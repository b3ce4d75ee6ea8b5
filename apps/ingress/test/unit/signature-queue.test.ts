import { signatureHeader, type SigningSecret } from '@persona-ingest/persona'
import t from 'tap'
import { SignatureQueue } from '../../src/deliveries/signature.ts'
import { PRODUCTION_SECRET } from '../fixtures/a-delivery.ts'

const SENT_AT = 1_770_112_921
const secrets: readonly SigningSecret[] = [{ value: PRODUCTION_SECRET, environment: 'production' }]
const SMALL = Buffer.alloc(3000, ' ')
const LARGE = Buffer.alloc(2_000_000, ' ')

function anInput(
  body: Buffer,
  header = signatureHeader({ body, secrets: [PRODUCTION_SECRET], timestampSeconds: SENT_AT }),
) {
  return { header, body, secrets, nowMs: SENT_AT * 1000, toleranceSeconds: 300 }
}

/** Times in tolerance, none of which matches. */
function wrongTimes(count: number): string {
  return Array.from({ length: count }, (_, index) => `t=${SENT_AT - index},v1=${'0'.repeat(64)}`).join(' ')
}

t.test('the signature of a small body is verified at once, that of a large one later', async (t) => {
  const queue = new SignatureQueue()
  t.match(queue.verify(anInput(SMALL)), { ok: true })
  t.match(queue.verify(anInput(LARGE, 'nonsense')), { code: 'SIGNATURE_MALFORMED' }, 'no digest, no wait')
  const later = queue.verify(anInput(LARGE))
  t.type(later, Promise)
  t.match(await later, { ok: true, environment: 'production' })
})

t.test('other work is done between the digests of a large body', async (t) => {
  const queue = new SignatureQueue()
  let passes = 0
  let isOver = false
  const count = () => {
    passes += 1
    if (!isOver) setImmediate(count)
  }
  setImmediate(count)
  t.match(await queue.verify(anInput(LARGE, wrongTimes(8))), { code: 'SIGNATURE_MISMATCH' })
  isOver = true
  t.ok(passes >= 8, `${passes} passes of the event loop`)
})

t.test('the cheapest verification goes first, also between two digests of another', async (t) => {
  const queue = new SignatureQueue()
  const ended: string[] = []
  const run = async (name: string, header?: string) => {
    await queue.verify(anInput(LARGE, header))
    ended.push(name)
  }
  const first = run('eight times', wrongTimes(8))
  await new Promise((resolve) => setImmediate(resolve))
  await Promise.all([first, run('four times', wrongTimes(4)), run('authentic')])
  t.strictSame(ended, ['authentic', 'four times', 'eight times'])
})

t.test('many times over a small body are no work of one pass either', async (t) => {
  const queue = new SignatureQueue()
  t.type(queue.verify(anInput(SMALL, wrongTimes(180))), Promise)
})
