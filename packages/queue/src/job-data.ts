import type { KeyRing } from '@persona-ingest/core'
import { Type, type Static } from '@sinclair/typebox'
import { TypeCompiler } from '@sinclair/typebox/compiler'
import type { Job, JobsOptions } from 'bullmq'
import { isUtf8 } from 'node:buffer'
import { createHash, randomBytes, randomUUID } from 'node:crypto'
import type { Delivery, InFlightDelivery, Replay } from './delivery.ts'
import type { QueueConnection } from './queue-connection.ts'

/**
 * Versions of the shape; a consumer that meets one it does not know puts the job back for a newer program.
 * 1: one delivery. 2: several that arrived together. 3: the replay of an event of the log.
 */
const SINGLE = 1
const GROUP = 2
const REPLAY = 3
const VERSIONS: readonly unknown[] = [SINGLE, GROUP, REPLAY]

const received = {
  environment: Type.Union([Type.Literal('production'), Type.Literal('sandbox')]),
  receivedAtMs: Type.Integer({ minimum: 0 }),
  requestId: Type.Optional(Type.String()),
  traceParent: Type.Optional(Type.String()),
  /** Of a dead letter that an operator replays; older programs leave it out. */
  isReplayed: Type.Optional(Type.Boolean()),
  /** Attempts used up in an earlier job. */
  attemptsMade: Type.Optional(Type.Integer({ minimum: 0 })),
  // Text costs a third less than base64 and can be read in Redis; only bytes that are no UTF-8 need base64. `sealed`:
  // encrypted, and then base64. A program that does not know an encoding leaves the job for one that does.
  encoding: Type.Union([Type.Literal('utf8'), Type.Literal('base64'), Type.Literal('sealed')]),
  keyId: Type.Optional(Type.String()),
  body: Type.String(),
}
const deliveryData = Type.Union([
  Type.Object({ ...received, kind: Type.Literal('event'), eventId: Type.String({ minLength: 1 }) }),
  Type.Object({
    ...received,
    kind: Type.Literal('quarantined'),
    reason: Type.String({ minLength: 1 }),
    eventId: Type.Union([Type.String(), Type.Null()]),
  }),
])
const singleData = Type.Intersect([Type.Object({ v: Type.Literal(SINGLE) }), deliveryData])
const groupData = Type.Object({ v: Type.Literal(GROUP), deliveries: Type.Array(deliveryData, { minItems: 1 }) })
const replayData = Type.Object({
  v: Type.Literal(REPLAY),
  eventId: Type.String({ minLength: 1 }),
  attemptsMade: Type.Optional(Type.Integer({ minimum: 0 })),
})
const compiledSingle = TypeCompiler.Compile(singleData)
const compiledGroup = TypeCompiler.Compile(groupData)
const compiledReplay = TypeCompiler.Compile(replayData)

type DeliveryData = Static<typeof deliveryData>
/** What one job holds in Redis. */
type JobData = Static<typeof singleData> | Static<typeof groupData> | Static<typeof replayData>
/** Why a job's data could not be read. */
export type UnreadableReason = 'JOB_VERSION_UNKNOWN' | 'JOB_SHAPE_INVALID'
/** A delivery or replay out of a job, and the attempts that it has used up in earlier ones. */
type ReadDelivery = { readonly delivery: Delivery | Replay; readonly attemptsMade: number }

/** A delivery whose body does not decrypt here, as it stands in the job. */
export type UndecryptableDelivery = {
  readonly data: DeliveryData
  readonly attemptsMade: number
  /** False: the key is missing. True: the body is damaged, or another key has this id. */
  readonly isKeyHere: boolean
}

/** Keys for bodies, and the key of the installation for the digests in ids where there are no others. */
export type JobKeys = { readonly keys: KeyRing; readonly fallbackKey: Uint8Array | null }

/**
 * The id of a delivery's own job: `e-<event id>`, or `q-<keyed digest of the body>` for a quarantined one. A replay's is
 * `r-<event id>`: it must neither swallow a delivery of the event nor be swallowed by one.
 *
 * Anyone who knows the rest of a body could guess a value in it and compare an unkeyed digest. Older versions wrote those:
 * the id of a waiting job is never computed again.
 *
 * The prefix is needed: bare event ids such as `meta`, `wait` or `active`, or digits alone, collide with BullMQ's own
 * keys. Throws `RangeError` for an event id that BullMQ's keys can't hold; no usable event has one.
 *
 * @see docs/contract.md#2-http-the-ingress
 */
export function jobIdOf(delivery: Delivery | Replay, { keys, fallbackKey }: JobKeys): string {
  if (delivery.kind === 'quarantined') {
    return `q-${keys.digest(DIGEST_PURPOSE, delivery.body, fallbackKey).bytes.toString('hex')}`
  }
  return eventJobId(delivery)
}

/** The id of the job of an event, or of its replay. Throws as {@link jobIdOf} does. */
export function eventJobId(delivery: { readonly kind: 'event' | 'replay'; readonly eventId: string }): string {
  if (!/^[A-Za-z0-9_-]{1,255}$/.test(delivery.eventId)) {
    throw new RangeError('Expected an event id of 1 to 255 characters out of A-Z a-z 0-9 _ -')
  }
  return `${delivery.kind === 'replay' ? 'r' : 'e'}-${delivery.eventId}`
}

const DIGEST_PURPOSE = 'job ids'

/** The id of a job of several deliveries tells how many, so that a queue is counted without opening its jobs. */
export function groupJobId(size: number): string {
  return `g-${size}-${randomUUID()}`
}

/**
 * The id of the job of a body that does not decrypt: `s-<digest>`, of the encrypted bytes, which tell nothing about the
 * body, and of what names them. Under the event's own id the job would swallow a redelivery that does decrypt.
 */
export function undecryptableJobId({ data }: UndecryptableDelivery): string {
  const { kind, environment, eventId, keyId, body } = data
  const identity = JSON.stringify([kind, environment, eventId, keyId, body])
  return `s-${createHash('sha256').update(identity).digest('hex')}`
}

/** How many deliveries a job holds, by its id; {@link SIZE_PATTERN} says the same in Redis' own language. */
export function sizeOfJob(jobId: string): number {
  return Number(/^g-(\d+)-/.exec(jobId)?.[1] ?? 1)
}

/** Finds a group's size in its id, as a Lua pattern. */
export const SIZE_PATTERN = '^g%-(%d+)%-'

/** What an encrypted body is bound to: it does not decrypt as another event's, or as one of the other environment. */
function bindingOf({ kind, eventId, environment }: Pick<DeliveryData, 'kind' | 'eventId' | 'environment'>): string {
  return `${kind} ${environment} ${eventId ?? ''}`
}

function writeBody(delivery: Delivery, keys: KeyRing): Pick<DeliveryData, 'encoding' | 'keyId' | 'body'> {
  const bytes = Buffer.from(delivery.body.buffer, delivery.body.byteOffset, delivery.body.byteLength)
  const encrypted = keys.encrypt(bytes, bindingOf(delivery))
  if (encrypted !== null) {
    return { encoding: 'sealed', keyId: encrypted.keyId, body: encrypted.bytes.toString('base64') }
  }
  const encoding = isUtf8(bytes) ? ('utf8' as const) : ('base64' as const)
  return { encoding, body: bytes.toString(encoding) }
}

function readBody(data: DeliveryData, keys: KeyRing): Uint8Array | null {
  if (data.encoding !== 'sealed') return Buffer.from(data.body, data.encoding)
  return keys.decrypt({ keyId: data.keyId ?? '', bytes: Buffer.from(data.body, 'base64') }, bindingOf(data))
}

function writeDelivery(delivery: Delivery, attemptsMade: number, keys: KeyRing): DeliveryData {
  const { environment, receivedAtMs, requestId, traceParent, isReplayed } = delivery
  const common = {
    environment,
    receivedAtMs: Math.trunc(receivedAtMs),
    ...(requestId === undefined ? {} : { requestId }),
    ...(traceParent === undefined ? {} : { traceParent }),
    ...(isReplayed === true ? { isReplayed } : {}),
    ...(attemptsMade === 0 ? {} : { attemptsMade }),
    ...writeBody(delivery, keys),
  } as const
  if (delivery.kind === 'event') return { ...common, kind: 'event', eventId: delivery.eventId }
  return { ...common, kind: 'quarantined', reason: delivery.reason, eventId: delivery.eventId }
}

/** Writes a delivery as the data of a job of its own; `readJobData` gives it back, byte for byte. */
export function writeJobData(delivery: Delivery | Replay, attemptsMade: number, keys: KeyRing): JobData {
  if (delivery.kind === 'replay') {
    return { v: REPLAY, eventId: delivery.eventId, ...(attemptsMade === 0 ? {} : { attemptsMade }) }
  }
  return { v: SINGLE, ...writeDelivery(delivery, attemptsMade, keys) }
}

/** Writes a delivery that does not decrypt as the data of a job of its own, with the encrypted bytes as they are. */
function writeUndecryptable({ data, attemptsMade }: UndecryptableDelivery): JobData {
  return { v: SINGLE, ...data, attemptsMade }
}

/** Writes deliveries as the data of one job; `readJobData` gives them back in their order. */
export function writeGroupData(deliveries: readonly Delivery[], keys: KeyRing): JobData {
  return { v: GROUP, deliveries: deliveries.map((delivery) => writeDelivery(delivery, 0, keys)) }
}

function readDelivery(data: DeliveryData, keys: KeyRing): ReadDelivery | null {
  const { environment, receivedAtMs, requestId, traceParent, isReplayed, attemptsMade = 0 } = data
  const body = readBody(data, keys)
  if (body === null) return null
  const common = {
    environment,
    receivedAtMs,
    ...(requestId === undefined ? {} : { requestId }),
    ...(traceParent === undefined ? {} : { traceParent }),
    ...(isReplayed === true ? { isReplayed } : {}),
    body,
  }
  return data.kind === 'event'
    ? { attemptsMade, delivery: { ...common, kind: 'event', eventId: data.eventId } }
    : { attemptsMade, delivery: { ...common, kind: 'quarantined', reason: data.reason, eventId: data.eventId } }
}

type ReadJob =
  | {
      readonly deliveries: readonly ReadDelivery[]
      readonly undecryptable: readonly UndecryptableDelivery[]
      /** How many bodies are not encrypted in Redis although these keys could have encrypted them. */
      readonly unencrypted: number
    }
  | { readonly unreadable: UnreadableReason }

function readDeliveries(data: readonly DeliveryData[], keys: KeyRing): ReadJob {
  const deliveries: ReadDelivery[] = []
  const undecryptable: UndecryptableDelivery[] = []
  for (const each of data) {
    const delivery = readDelivery(each, keys)
    if (delivery !== null) deliveries.push(delivery)
    else {
      const { attemptsMade = 0, keyId = '' } = each
      undecryptable.push({ data: each, attemptsMade, isKeyHere: keys.has(keyId) })
    }
  }
  const unencrypted = keys.newestId === null ? 0 : data.filter(({ encoding }) => encoding !== 'sealed').length
  return { deliveries, undecryptable, unencrypted }
}

/** How often a job's only delivery was tried in earlier jobs; 0 where that can't be read. */
export function attemptsBefore(data: unknown): number {
  return compiledSingle.Check(data) || compiledReplay.Check(data) ? (data.attemptsMade ?? 0) : 0
}

/** Reads job data that may have been written by any version of this program. Never throws. */
export function readJobData(data: unknown, keys: KeyRing): ReadJob {
  if (compiledSingle.Check(data)) return readDeliveries([data], keys)
  if (compiledGroup.Check(data)) return readDeliveries(data.deliveries, keys)
  if (compiledReplay.Check(data)) {
    const { eventId, attemptsMade = 0 } = data
    return { deliveries: [{ attemptsMade, delivery: { kind: 'replay', eventId } }], undecryptable: [], unencrypted: 0 }
  }
  const version = typeof data === 'object' && data !== null && 'v' in data ? data.v : SINGLE
  return { unreadable: VERSIONS.includes(version) ? 'JOB_SHAPE_INVALID' : 'JOB_VERSION_UNKNOWN' }
}

/** The content of a job, as its deliveries in flight. */
type InFlightJob =
  | {
      readonly deliveries: readonly InFlightDelivery[]
      readonly undecryptable: readonly UndecryptableDelivery[]
      /** How many bodies are not encrypted in Redis although these keys could have encrypted them. */
      readonly unencrypted: number
    }
  | { readonly unreadable: UnreadableReason }

/** Reads a job, and adds the attempts made in this job to those of earlier ones. Never throws. */
export function readJob(job: Pick<Job, 'data' | 'attemptsMade' | 'stalledCounter'>, keys: KeyRing): InFlightJob {
  const read = readJobData(job.data, keys)
  if ('unreadable' in read) return read
  const deliveries = read.deliveries.map(({ delivery, attemptsMade }) => ({
    ...delivery,
    attemptsMade: attemptsMade + job.attemptsMade,
    stalledCount: job.stalledCounter,
  }))
  const undecryptable = read.undecryptable.map((each) => ({
    ...each,
    attemptsMade: each.attemptsMade + job.attemptsMade,
  }))
  return { deliveries, undecryptable, unencrypted: read.unencrypted }
}

/**
 * Gives the data of a job with other bodies, in the order of the deliveries that `readJobData` gives. `undefined` leaves a
 * body as it is; a body that does not decrypt stays too. Null for data without bodies.
 */
export function withBodies(data: unknown, bodies: readonly (Uint8Array | undefined)[], keys: KeyRing): JobData | null {
  let index = 0
  const rewritten = (each: DeliveryData): DeliveryData => {
    const read = readDelivery(each, keys)
    if (read === null) return each
    const body = bodies[index]
    index += 1
    if (body === undefined || read.delivery.kind === 'replay') return each
    return writeDelivery({ ...read.delivery, body }, read.attemptsMade, keys)
  }
  if (compiledSingle.Check(data)) return { v: SINGLE, ...rewritten(data) }
  return compiledGroup.Check(data) ? { v: GROUP, deliveries: data.deliveries.map(rewritten) } : null
}

const KEY_BYTES = 32

/**
 * Gives the keys that jobs for these deliveries need.
 *
 * Without encryption keys the digests in ids of quarantined bodies are keyed by a random key that all processes share
 * through Redis. It protects nothing where Redis itself is stolen, but an id in a log, trace or dashboard does not tell a
 * body. Rejects with the error of Redis.
 */
export async function jobKeys(
  { client, queue, keys }: QueueConnection,
  deliveries: readonly (Delivery | Replay)[],
): Promise<JobKeys> {
  const needsKey = keys.newestId === null && deliveries.some(({ kind }) => kind === 'quarantined')
  if (!needsKey) return { keys, fallbackKey: null }
  const key = queue.toKey('digest-key')
  // Asked each time: an emptied Redis has a new one, and quarantined deliveries are few.
  await client.set(key, randomBytes(KEY_BYTES).toString('hex'), 'NX')
  return { keys, fallbackKey: Buffer.from((await client.get(key)) ?? '') }
}

/** Name under which a job asks the consumer for its backoff. */
const RETRY_BACKOFF = 'custom'

/** The consumer decides the outcome of every job; BullMQ must not give up or delete a job by itself. */
const jobOptions = {
  removeOnComplete: true,
  removeOnFail: false,
  attempts: 1_000_000,
  backoff: { type: RETRY_BACKOFF },
  stackTraceLimit: 0,
}

type NewJob = { readonly name: string; readonly data: JobData; readonly opts: JobsOptions & { readonly jobId: string } }

/** Gives the job for deliveries that share one, or for a single delivery. */
export function newJob(deliveries: readonly Delivery[], jobKeys: JobKeys): NewJob {
  const [first] = deliveries
  if (first === undefined) throw new RangeError('Expected at least one delivery')
  if (deliveries.length === 1) return newSingleJob(first, { attemptsMade: 0, delayMs: 0 }, jobKeys)
  const opts = { ...jobOptions, jobId: groupJobId(deliveries.length) }
  return { name: 'group', data: writeGroupData(deliveries, jobKeys.keys), opts }
}

/** Gives the job for one delivery, which may have used up attempts in another job; it is delayed by `delayMs`. */
export function newSingleJob(
  delivery: Delivery | Replay,
  history: { attemptsMade: number; delayMs: number },
  jobKeys: JobKeys,
): NewJob {
  const opts = {
    ...jobOptions,
    jobId: jobIdOf(delivery, jobKeys),
    ...(history.delayMs > 0 ? { delay: history.delayMs } : {}),
  }
  return { name: delivery.kind, data: writeJobData(delivery, history.attemptsMade, jobKeys.keys), opts }
}

/** Gives the job for a delivery that does not decrypt; it is delayed by `delayMs`. */
export function newUndecryptableJob(undecryptable: UndecryptableDelivery, delayMs: number): NewJob {
  const opts = { ...jobOptions, jobId: undecryptableJobId(undecryptable), delay: delayMs }
  return { name: undecryptable.data.kind, data: writeUndecryptable(undecryptable), opts }
}
