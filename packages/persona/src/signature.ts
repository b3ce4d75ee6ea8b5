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

/** The provider sends two groups during a rotation. */
const MAX_GROUPS = 8

/**
 * Distinct times out of tolerance that are verified. None can be accepted, a match only tells the reason for the 401;
 * each costs one HMAC per secret over a body of up to some MiB.
 */
const MAX_TIMES_OUT_OF_TOLERANCE = 2

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

/** One group for each text of `t`, in the header's order, so that no text costs more than one digest per secret. */
function groupsByTimestamp(groups: readonly SignatureGroup[]): readonly SignatureGroup[] {
  const byTimestamp = new Map<string, Buffer[]>()
  for (const { timestamp, digests } of groups) {
    byTimestamp.set(timestamp, [...(byTimestamp.get(timestamp) ?? []), ...digests])
  }
  return [...byTimestamp].map(([timestamp, digests]) => ({ timestamp, digests }))
}

function isInTime(timestampSeconds: number, nowMs: number, toleranceSeconds: number): boolean {
  const ageSeconds = nowMs / 1000 - timestampSeconds
  return ageSeconds <= toleranceSeconds && ageSeconds >= -FUTURE_TOLERANCE_SECONDS
}

function judgeAge(
  matched: { environment: Environment; timestampSeconds: number },
  nowMs: number,
  toleranceSeconds: number,
): SignatureVerdict {
  if (isInTime(matched.timestampSeconds, nowMs, toleranceSeconds)) return { ok: true, ...matched }
  const isOld = nowMs / 1000 > matched.timestampSeconds
  return { ok: false, code: isOld ? 'SIGNATURE_TOO_OLD' : 'SIGNATURE_IN_FUTURE', ...matched }
}

export type SignatureInput = {
  readonly header: string | undefined
  readonly body: Uint8Array
  readonly secrets: readonly SigningSecret[]
  readonly nowMs: number
  readonly toleranceSeconds: number
}

/** What is worth a digest of the body: first what can be accepted, then the little that tells an age from a mismatch. */
function candidatesOf(groups: readonly SignatureGroup[], input: SignatureInput): readonly SignatureGroup[] {
  const { nowMs, toleranceSeconds } = input
  const isInTolerance = ({ timestamp }: SignatureGroup) => isInTime(Number(timestamp), nowMs, toleranceSeconds)
  const distinct = groupsByTimestamp(groups)
  const outside = distinct.filter((group) => !isInTolerance(group))
  return [...distinct.filter(isInTolerance), ...outside.slice(0, MAX_TIMES_OUT_OF_TOLERANCE)]
}

/**
 * Verifies a header as `verifySignature` does, in steps, for a caller that has other work in between: it computes one
 * digest of the body from one `next()` to the following one. The first `next()` computes none, and yields how many
 * digests there are at most.
 */
export function* signatureVerification(input: SignatureInput): Generator<number, SignatureVerdict, void> {
  if (input.header === undefined || input.header.trim() === '') return { ok: false, code: 'SIGNATURE_MISSING' }
  const texts = input.header.trim().split(/\s+/)
  if (texts.length > MAX_GROUPS) return { ok: false, code: 'SIGNATURE_MALFORMED' }
  const groups = texts.map(readGroup).filter((group) => group !== null)
  if (groups.length === 0) return { ok: false, code: 'SIGNATURE_MALFORMED' }

  const candidates = candidatesOf(groups, input)
  let left = candidates.length * input.secrets.length
  for (const { timestamp, digests } of candidates) {
    for (const { value, environment } of input.secrets) {
      yield left--
      const expected = digestOf(value, timestamp, input.body)
      if (!digests.some((digest) => timingSafeEqual(digest, expected))) continue
      // Candidates in tolerance come first, so that no later one can be more acceptable.
      return judgeAge({ environment, timestampSeconds: Number(timestamp) }, input.nowMs, input.toleranceSeconds)
    }
  }
  return { ok: false, code: 'SIGNATURE_MISMATCH' }
}

/**
 * Verifies a `Persona-Signature` header over the raw bytes of a body.
 *
 * Any of the header's groups (`t=<unix seconds>,v1=<hex>`, separated by blanks) may match with any of the secrets, so
 * that a rotation loses nothing in either order of change. `t` may be `toleranceSeconds` old and 300 s ahead.
 * The body is hashed once per distinct `t` and secret. Never throws.
 *
 * @see https://docs.withpersona.com/webhooks-best-practices
 */
export function verifySignature(input: SignatureInput): SignatureVerdict {
  const steps = signatureVerification(input)
  for (;;) {
    const step = steps.next()
    if (step.done === true) return step.value
  }
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
