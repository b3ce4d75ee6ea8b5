import type { PrismaClient } from '../generated/client.ts'

/** How many dead letters are open, by reason; reasons without any are left out. */
export async function countOpenDeadLetters(
  prisma: PrismaClient,
): Promise<readonly { readonly reason: string; readonly count: number }[]> {
  const groups = await prisma.deadLetter.groupBy({ by: ['reason'], where: { state: 'open' }, _count: true })
  return groups.map(({ reason, _count }) => ({ reason, count: _count }))
}
