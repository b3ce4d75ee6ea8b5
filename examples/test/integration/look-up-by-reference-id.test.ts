import { buildLifecycle } from '@persona-ingest/simulator'
import { throwAwayDatabase } from '@persona-ingest/testkit'
import t from 'tap'
import { runExample } from '../fixtures/run-example.ts'
import { storeSimulated } from '../fixtures/store-simulated.ts'

t.test('every inquiry of a reference id is found, the newest first, and of no other', async (t) => {
  const { url } = await throwAwayDatabase(t)
  const startAtMs = Date.UTC(2026, 1, 3)
  const of = (seed: string, referenceId: string, scenario: 'approved' | 'declined', dayOffset: number) =>
    buildLifecycle({ seed, referenceId, scenario, startAtMs: startAtMs + dayOffset * 86_400_000 })
  const first = of('first', 'user-42', 'declined', 0)
  const second = of('second', 'user-42', 'approved', 7)
  await storeSimulated(url, [...first, ...second, ...of('other', 'user-43', 'approved', 1)])

  const run = async (referenceId: string) =>
    runExample('look-up-by-reference-id', { args: [referenceId], env: { DATABASE_URL: url } })
  const [found, none] = await Promise.all([run('user-42'), run('user-44')])
  t.strictSame([found.code, found.stderr], [0, ''])
  const inquiries = JSON.parse(found.stdout)
  t.match(inquiries, [
    { id: second[0]?.inquiryId, status: 'approved' },
    { id: first[0]?.inquiryId, status: 'declined' },
  ])
  t.equal(inquiries.length, 2)
  t.same(inquiries[0].verifications, [
    { type: 'verification/government-id', status: 'passed' },
    { type: 'verification/selfie', status: 'passed' },
  ])
  t.strictSame([none.code, none.stdout], [1, '[]'])
})
