import { findInquiry, readTimeline, type Database, type VerificationRow } from '@persona-ingest/database'
import { textTable } from './text-table.ts'

const head = ['inquiry', 'status', 'verifications', 'events', 'out of order', 'newest event']

/** Gives stored inquiries as a table of text. */
export async function storedInquiries({ prisma }: Database, ids: readonly string[]): Promise<string> {
  const rows = await Promise.all(
    ids.map(async (id) => {
      const [details, timeline] = await Promise.all([findInquiry(prisma, id), readTimeline(prisma, id)])
      return [
        id,
        details?.inquiry.status ?? '-',
        details?.verifications.map(inWords).join(', ') ?? '-',
        String(timeline.length),
        String(timeline.filter((event) => event.out_of_order).length),
        timeline.at(-1)?.event_name ?? '-',
      ]
    }),
  )
  return textTable([head, ...rows.toSorted(([, left = ''], [, right = '']) => left.localeCompare(right))])
}

/** `verification/selfie` that passed is `selfie passed`. */
function inWords({ type, status }: VerificationRow): string {
  return `${type?.split('/').at(-1) ?? 'unknown'} ${status ?? 'unknown'}`
}
