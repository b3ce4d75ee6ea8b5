import fc from 'fast-check'
import t from 'tap'
import { signatureHeader, verifySignature, type SigningSecret } from '../../src/signature.ts'
import { propertyRuns } from '../model/property-runs.ts'

const TOLERANCE_SECONDS = 300

const secretText = fc.string({ minLength: 8, maxLength: 40 })
const signed = fc
  .record({
    body: fc.uint8Array({ minLength: 1, maxLength: 200 }),
    timestampSeconds: fc.integer({ min: 1_000_000_000, max: 4_000_000_000 }),
    values: fc.uniqueArray(secretText, { minLength: 2, maxLength: 4 }),
    ageMs: fc.integer({ min: -300_000, max: TOLERANCE_SECONDS * 1000 }),
  })
  .map(({ values, ...rest }) => ({
    ...rest,
    secrets: values.map((value, index): SigningSecret => ({
      value,
      environment: index % 2 === 0 ? 'production' : 'sandbox',
    })),
  }))

function verify(
  input: { body: Uint8Array; timestampSeconds: number; ageMs: number; secrets: readonly SigningSecret[] },
  header: string,
) {
  return verifySignature({
    header,
    body: input.body,
    secrets: input.secrets,
    nowMs: input.timestampSeconds * 1000 + input.ageMs,
    toleranceSeconds: TOLERANCE_SECONDS,
  })
}

/** The same bytes with one bit flipped. */
function flipped(bytes: Uint8Array, bit: number): Uint8Array {
  const changed = Uint8Array.from(bytes)
  const index = Math.floor(bit / 8) % bytes.length
  changed[index] = (changed[index] ?? 0) ^ (1 << (bit % 8))
  return changed
}

/** The same text with one character changed to another one of `among`. */
function changedText(text: string, place: number, step: number, among: string): string {
  const index = place % text.length
  const others = among.replace(text.charAt(index), '')
  return text.slice(0, index) + others.charAt(step % others.length) + text.slice(index + 1)
}

const HEX = '0123456789abcdef'
const place = fc.nat({ max: 10_000 })

t.test('what is signed verifies, for any bytes and any rotation that has a secret in common', async () => {
  fc.assert(
    fc.property(signed, fc.nat(), fc.nat(), (input, from, to) => {
      const { secrets } = input
      const known = secrets.slice(from % secrets.length)
      const used = secrets.slice(0, (to % secrets.length) + 1).map((secret) => secret.value)
      const header = signatureHeader({ ...input, secrets: used })
      const verdict = verify({ ...input, secrets: known }, header)
      const expected = known.some((secret) => used.includes(secret.value))
      if (verdict.ok !== expected) throw new Error(JSON.stringify(verdict))
      if (!verdict.ok) return verdict.code === 'SIGNATURE_MISMATCH'
      const shared = known.filter((secret) => used.includes(secret.value))
      return shared.some((secret) => secret.environment === verdict.environment)
    }),
    propertyRuns(200),
  )
})

t.test('no flipped bit of the body verifies', async () => {
  fc.assert(
    fc.property(signed, place, (input, bit) => {
      const header = signatureHeader({ ...input, secrets: input.secrets.map((secret) => secret.value) })
      const verdict = verify({ ...input, body: flipped(input.body, bit) }, header)
      return !verdict.ok && verdict.code === 'SIGNATURE_MISMATCH'
    }),
    propertyRuns(200),
  )
})

t.test('no byte added to the body or taken from it verifies', async () => {
  fc.assert(
    fc.property(signed, place, fc.nat({ max: 255 }), (input, at, byte) => {
      const header = signatureHeader({ ...input, secrets: input.secrets.slice(0, 1).map((secret) => secret.value) })
      const index = at % input.body.length
      const longer = Uint8Array.from([...input.body.slice(0, index), byte, ...input.body.slice(index)])
      const shorter = Uint8Array.from([...input.body.slice(0, index), ...input.body.slice(index + 1)])
      return !verify({ ...input, body: longer }, header).ok && !verify({ ...input, body: shorter }, header).ok
    }),
    propertyRuns(200),
  )
})

t.test('no changed digit of the timestamp verifies, however far the tolerance', async () => {
  fc.assert(
    fc.property(signed, place, place, (input, at, step) => {
      const header = signatureHeader({ ...input, secrets: input.secrets.slice(0, 1).map((secret) => secret.value) })
      const timestamp = changedText(String(input.timestampSeconds), at, step, '0123456789')
      const changed = header.replace(`t=${input.timestampSeconds}`, `t=${timestamp}`)
      const verdict = verifySignature({
        header: changed,
        body: input.body,
        secrets: input.secrets,
        nowMs: input.timestampSeconds * 1000,
        toleranceSeconds: Number.POSITIVE_INFINITY,
      })
      return changed !== header && !verdict.ok && verdict.code === 'SIGNATURE_MISMATCH'
    }),
    propertyRuns(200),
  )
})

t.test('no changed digit of the digest, and no other secret, verifies', async () => {
  fc.assert(
    fc.property(signed, place, place, (input, at, step) => {
      const [secret] = input.secrets
      if (secret === undefined) return false
      const header = signatureHeader({ ...input, secrets: [secret.value] })
      const [, digest = ''] = header.split('v1=')
      const changed = `${header.slice(0, -64)}${changedText(digest, at, step, HEX)}`
      const other = { ...secret, value: changedText(secret.value, at, step, `${HEX}XYZ_`) }
      return !verify(input, changed).ok && !verify({ ...input, secrets: [other] }, header).ok
    }),
    propertyRuns(200),
  )
})

t.test('no header makes the verifier throw or verify', async () => {
  const piece = fc.oneof(
    fc.constantFrom('t=', 'v1=', ',', ' ', '=', 't=1770112921', `v1=${'0'.repeat(64)}`, '\t', 'T=1', 'v1=XX'),
    fc.string({ unit: 'binary', maxLength: 5 }),
  )
  const header = fc.array(piece, { maxLength: 30 }).map((pieces) => pieces.join(''))
  fc.assert(
    fc.property(header, (text) => {
      const secrets: readonly SigningSecret[] = [{ value: 'wbhsec_x', environment: 'sandbox' }]
      const body = Buffer.from('{}')
      return !verifySignature({ header: text, body, secrets, nowMs: 0, toleranceSeconds: 1e12 }).ok
    }),
    propertyRuns(500),
  )
})
