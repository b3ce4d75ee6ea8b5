import { compareBytes, compareClocks, type Clock } from './clock.ts'

/** How an event says that an object belongs to an inquiry; the greater number counts within one event. */
export const claimStrength = { included: 1, byInquiry: 2, byObject: 3 } as const
export type ClaimStrength = (typeof claimStrength)[keyof typeof claimStrength]

/** One event's word that an object belongs to an inquiry. */
export type Claim = {
  readonly objectId: string
  readonly inquiryId: string
  readonly strength: ClaimStrength
}
export type ClockedClaim = Claim & { readonly clock: Clock }

/** Orders the claims of one event: the object's own word, then the inquiry's, then `included`; then the greater id. */
export function compareClaims(left: Claim, right: Claim): number {
  return left.strength - right.strength || compareBytes(left.inquiryId, right.inquiryId)
}

/** Orders claims of all events: the newest by the clock counts. */
export function compareClockedClaims(left: ClockedClaim, right: ClockedClaim): number {
  return compareClocks(left.clock, right.clock) || compareClaims(left, right)
}
