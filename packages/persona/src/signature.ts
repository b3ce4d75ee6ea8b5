import { createHmac, timingSafeEqual } from 'node:crypto'
import type { Environment } from './environment.ts'

/** A secret of one webhook (`wbhsec_...`, used whole as UTF-8 bytes) and the environment that it stands for. */
export type SigningSecret = { readonly value: string; readonly environment: Environment }

export type SignatureVerdict =
  | { readonly ok: true; readonly environment: Environment; readonly timestampSeconds: number }
  | {
      readonly ok: false
      readonly code: 'SIGNATURE_TOO_OLD' | 'SIGNATURE_IN_FUTURE'
      readonly environment: Environment
      readonly timestampSeconds: number
    }
  | { readonly ok: false; readonly code: 'SIGNATURE_MISSING' | 'SIGNATURE_MALFORMED' | 'SIGNATURE_MISMATCH' }

type SignatureGroup = { readonly timestamp: string; readonly digests: readonly Buffer[] }

/** A group costs one HMAC per secret over a body of up to some MiB; the provider sends two during a rotation. */
const MAX_GROUPS = 8

/** Clocks drift; a `t` this far ahead of ours is still taken. Fixed by the contract, section 3. */
const FUTURE_TOLERANCE_SECONDS = 300

function readGroup(text: string): SignatureGroup | null {
  let timestamp: string | null = null
  const digests: Buffer[] = []
  for (const pair of text.split(',')) {
    const separator = pair.indexOf('=')
    const key = pair.slice(0, separator)
    const value = pair.slice(separator + 1)
    if (key === 't' && timestamp === null && /^\d{1,12}$/.test(value)) timestamp = value
    else if (key === 't') return null
    if (key === 'v1' && /^[0-9a-f]{64}$/.test(value)) digests.push(Buffer.from(value, 'hex'))
  }
  return timestamp === null || digests.length === 0 ? null : { timestamp, digests }
}

function digestOf(secret: string, timestamp: string, body: Uint8Array): Buffer {
  return createHmac('sha256', secret).update(`${timestamp}.`).update(body).digest()
}

function matchingSecret(
  group: SignatureGroup,
  body: Uint8Array,
  secrets: readonly SigningSecret[],
): SigningSecret | undefined {
  return secrets.find((secret) => {
    const expected = digestOf(secret.value, group.timestamp, body)
    return group.digests.some((digest) => timingSafeEqual(digest, expected))
  })
}

function judgeAge(
  matched: { environment: Environment; timestampSeconds: number },
  nowMs: number,
  toleranceSeconds: number,
): SignatureVerdict {
  const ageSeconds = nowMs / 1000 - matched.timestampSeconds
  if (ageSeconds > toleranceSeconds) return { ok: false, code: 'SIGNATURE_TOO_OLD', ...matched }
  if (ageSeconds < -FUTURE_TOLERANCE_SECONDS) return { ok: false, code: 'SIGNATURE_IN_FUTURE', ...matched }
  return { ok: true, ...matched }
}

/**
 * Verifies a `Persona-Signature` header over the raw bytes of a body.
 *
 * Any of the header's groups (`t=<unix seconds>,v1=<hex>`, separated by blanks) may match with any of the secrets, so
 * that a rotation loses nothing in either order of change. `t` may be `toleranceSeconds` old and 300 s ahead.
 * Never throws.
 *
 * @see https://docs.withpersona.com/webhooks-best-practices
 */
export function verifySignature(input: {
  header: string | undefined
  body: Uint8Array
  secrets: readonly SigningSecret[]
  nowMs: number
  toleranceSeconds: number
}): SignatureVerdict {
  if (input.header === undefined || input.header.trim() === '') return { ok: false, code: 'SIGNATURE_MISSING' }
  const texts = input.header.trim().split(/\s+/)
  if (texts.length > MAX_GROUPS) return { ok: false, code: 'SIGNATURE_MALFORMED' }
  const groups = texts.map(readGroup).filter((group) => group !== null)
  if (groups.length === 0) return { ok: false, code: 'SIGNATURE_MALFORMED' }

  let verdict: SignatureVerdict = { ok: false, code: 'SIGNATURE_MISMATCH' }
  for (const group of groups) {
    const secret = matchingSecret(group, input.body, input.secrets)
    if (secret === undefined) continue
    const matched = { environment: secret.environment, timestampSeconds: Number(group.timestamp) }
    verdict = judgeAge(matched, input.nowMs, input.toleranceSeconds)
    if (verdict.ok) return verdict
  }
  return verdict
}

/** Signs a body as the provider does: one group per secret, separated by a blank, as during a rotation. */
export function signatureHeader(input: {
  body: Uint8Array
  secrets: readonly string[]
  timestampSeconds: number
}): string {
  const timestamp = String(input.timestampSeconds)
  return input.secrets
    .map((secret) => `t=${timestamp},v1=${digestOf(secret, timestamp, input.body).toString('hex')}`)
    .join(' ')
}
