import {
  account,
  createdInquiry,
  inquiryResource,
  inquirySession,
  inquiryTemplate,
  redactedAccount,
  redactedInquiry,
  redactedSession,
  startedInquiry,
} from './inquiry.ts'
import { recase, wholeSecond, type Casing, type Json, type JsonObject, type Resource } from './json-api.ts'

import { inventPerson, type Person } from './person.ts'
import type { Random } from './random.ts'

import {
  checkedVerification,
  redactedVerification,
  submittedVerification,
  type VerificationKind,
} from './verification.ts'

/** One event of a simulated inquiry. */
export type SimulatedEvent = {
  readonly id: string
  readonly name: string
  readonly createdAtMs: number
  readonly inquiryId: string
  /** The JSON:API document, built at each access. */
  readonly document: Json
}

export type LiveInquiryOptions = {
  readonly random: Random
  readonly startAtMs: number
  readonly casingOf: () => Casing
  readonly isIncluding: boolean
  readonly isTopLevel: boolean
  readonly inquiryId?: string | undefined
  readonly accountId?: string | undefined
  readonly referenceId?: string | null | undefined
}

/** An inquiry whose methods change it and add one event each. Snapshots of earlier events do not change. */
export class LiveInquiry {
  readonly events: SimulatedEvent[] = []
  readonly #options: LiveInquiryOptions
  readonly #random: Random
  readonly #id: string
  readonly #person: Person
  readonly #template: Resource
  readonly #templateVersionId: string
  #account: Resource
  #attributes: JsonObject
  #verifications: readonly Resource[] = []
  #sessions: readonly Resource[]
  #nowMs: number

  constructor(options: LiveInquiryOptions) {
    const { random, startAtMs } = options
    this.#options = options
    this.#random = random
    this.#nowMs = startAtMs
    this.#id = options.inquiryId ?? random.id('inq')
    this.#person = inventPerson(random)
    const accountId = options.accountId ?? random.id('act')
    const referenceId =
      options.referenceId === undefined ? `tenant-7::user-${random.integer(1, 99_999)}` : options.referenceId
    const { template, versionId } = inquiryTemplate(random)
    this.#template = template
    this.#templateVersionId = versionId
    this.#account = account(this.#person, { id: accountId, referenceId, atMs: startAtMs })
    this.#attributes = createdInquiry({ referenceId, atMs: startAtMs, random })
    this.#sessions = [inquirySession({ inquiryId: this.#id, atMs: startAtMs, isActive: false, random })]
  }

  /** Moves the time of the next event. */
  rest(minMs: number, maxMs: number): this {
    this.#nowMs += this.#random.integer(minMs, maxMs)
    return this
  }

  create(): void {
    this.#addInquiryEvent('inquiry.created')
  }

  start(): void {
    const started = startedInquiry(this.#person, { isTopLevel: this.#options.isTopLevel, random: this.#random })
    this.#addSession()
    this.#change({ ...started, status: 'pending', 'started-at': wholeSecond(this.#nowMs) })
    this.#addInquiryEvent('inquiry.started')
  }

  transition(): void {
    this.#change({ status: 'pending', 'next-step-name': 'verification_selfie_9f3a' })
    this.#addInquiryEvent('inquiry.transitioned')
  }

  /** Submits and checks a verification: `verification.passed` or `verification.failed`. */
  verify(kind: VerificationKind, outcome: 'passed' | 'failed'): void {
    const random = this.#random
    const submitted = submittedVerification({
      kind,
      inquiryId: this.#id,
      person: this.#person,
      atMs: this.#nowMs,
      random,
    })
    this.rest(2000, 20_000)
    const checked = checkedVerification(submitted, { hasPassed: outcome === 'passed', atMs: this.#nowMs, random })
    this.#verifications = [...this.#verifications, checked]
    this.#addEvent(`verification.${outcome}`, checked, [this.#inquiry()])
  }

  complete(): void {
    this.#change({ status: 'completed', 'completed-at': wholeSecond(this.#nowMs), 'next-step-name': 'success_34c0' })
    this.#addInquiryEvent('inquiry.completed')
  }

  markForReview(): void {
    this.#change({ status: 'needs_review', 'marked-for-review-at': wholeSecond(this.#nowMs) })
    this.#addInquiryEvent('inquiry.marked-for-review')
  }

  decide(decision: 'approved' | 'declined'): void {
    const comment = decision === 'declined' ? 'Selfie and document differ' : null
    this.#change({ status: decision, 'decisioned-at': wholeSecond(this.#nowMs), 'reviewer-comment': comment })
    this.#addInquiryEvent(`inquiry.${decision}`)
  }

  expire(): void {
    this.#change({ status: 'expired', 'expired-at': wholeSecond(this.#nowMs), 'expires-at': null })
    this.#addInquiryEvent('inquiry.expired')
  }

  /** Resumes an expired inquiry on another device. */
  resume(): void {
    const session = this.#addSession()
    this.#change({ status: 'pending', 'expires-at': wholeSecond(this.#nowMs + 86_400_000) })
    this.#addEvent('inquiry-session.started', session, [this.#inquiry()])
  }

  /** Redacts the account and its objects; the event comes after all of them. */
  redact(): void {
    const atMs = this.#nowMs
    this.#verifications = this.#verifications.map((verification) => redactedVerification(verification, atMs))
    this.#sessions = this.#sessions.map(redactedSession)
    this.#account = redactedAccount(this.#account, atMs)
    this.#attributes = redactedInquiry(this.#attributes, atMs)
    this.#change({})
    this.#addInquiryEvent('inquiry.redacted')
  }

  #addSession(): Resource {
    const session = inquirySession({ inquiryId: this.#id, atMs: this.#nowMs, isActive: true, random: this.#random })
    this.#sessions = [session, ...this.#sessions]
    return session
  }

  #change(changes: JsonObject): void {
    this.#attributes = { ...this.#attributes, ...changes, 'updated-at': wholeSecond(this.#nowMs) }
  }

  #inquiry(): Resource {
    return inquiryResource(this.#id, this.#attributes, {
      account: this.#account,
      template: this.#template,
      templateVersionId: this.#templateVersionId,
      verifications: this.#verifications,
      sessions: this.#sessions,
    })
  }

  #addInquiryEvent(name: string): void {
    this.#addEvent(name, this.#inquiry(), [...this.#verifications, ...this.#sessions, this.#account, this.#template])
  }

  #addEvent(name: string, primary: Resource, included: readonly Resource[]): void {
    const id = this.#random.id('evt')
    const createdAtMs = this.#nowMs
    const casing = this.#options.casingOf()
    const attributes = {
      name,
      payload: { data: primary, included: this.#options.isIncluding ? included : [] },
      'created-at': new Date(createdAtMs).toISOString(),
      context: {},
    }
    const inquiryId = this.#id
    this.events.push({
      id,
      name,
      createdAtMs,
      inquiryId,
      get document() {
        return recase({ data: { type: 'event', id, attributes } }, casing)
      },
    })
  }
}
