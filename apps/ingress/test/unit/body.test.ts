import { IncomingMessage } from 'node:http'
import { Socket } from 'node:net'
import { setTimeout as pause } from 'node:timers/promises'
import { eventually } from '@persona-ingest/testkit'
import t from 'tap'
import { BodyBudget, BUDGET_BYTES, LEAST_GROWTH_BYTES } from '../../src/deliveries/body.ts'

const LARGE_BYTES = 2 * 1024 * 1024
const never = () => {
  throw new Error('Expected no need to give up')
}

function aRequest(): IncomingMessage {
  return new IncomingMessage(new Socket())
}

/** Takes large bodies until there is no room; gives them. */
function filled(budget: BodyBudget, giveUp: () => void = never): readonly IncomingMessage[] {
  const requests = Array.from({ length: BUDGET_BYTES / LARGE_BYTES }, aRequest)
  for (const request of requests) if (!budget.admits(request, LARGE_BYTES, giveUp)) throw new Error('Expected room')
  return requests
}

t.test('bodies are admitted up to the budget, by what is held of them, and again when a request is over', async (t) => {
  const budget = new BodyBudget()
  const [first] = filled(budget)
  t.notOk(budget.admits(aRequest(), 40_000, never))
  t.notOk(budget.admits(first as IncomingMessage, LARGE_BYTES + 1, never), 'one that grows')
  budget.release(first as IncomingMessage)
  const growing = aRequest()
  for (const bytes of [40_000, 400_000, LARGE_BYTES]) t.ok(budget.admits(growing, bytes, never), `${bytes}`)
  t.notOk(budget.admits(aRequest(), 40_000, never))
  budget.release(growing)
  budget.release(growing)
  t.ok(budget.admits(aRequest(), LARGE_BYTES, never))
  t.notOk(budget.admits(aRequest(), LARGE_BYTES, never), 'a second release gives nothing')
})

t.test('small bodies need no room', async (t) => {
  const budget = new BodyBudget()
  filled(budget)
  for (const bytes of [0, 1, 32_768]) t.ok(budget.admits(aRequest(), bytes, never))
})

t.test('a body above the budget is let through alone', async (t) => {
  const budget = new BodyBudget()
  const [one, other] = [aRequest(), aRequest()]
  for (const bytes of [BUDGET_BYTES, 2 * BUDGET_BYTES]) t.ok(budget.admits(one, bytes, never))
  t.notOk(budget.admits(other, LARGE_BYTES, never))
})

t.test('bodies that stall for a second make room, those that are whole do not', async (t) => {
  const budget = new BodyBudget()
  let givenUp = 0
  const [whole] = filled(budget, () => (givenUp += 1))
  if (whole !== undefined) whole.complete = true
  const newcomer = aRequest()
  await eventually(() => budget.admits(newcomer, LARGE_BYTES, never), { deadlineMs: 5000 })
  t.equal(givenUp, BUDGET_BYTES / LARGE_BYTES - 1)
})

t.test('bodies that grow by single bytes make room, one that grows by 64 KiB a second does not', async (t) => {
  const budget = new BodyBudget()
  const evicted: IncomingMessage[] = []
  const grow = (body: { request: IncomingMessage; bytes: number }, more: number) => {
    if (evicted.includes(body.request)) return
    body.bytes += more
    t.ok(budget.admits(body.request, body.bytes, () => evicted.push(body.request)))
  }
  const steady = { request: aRequest(), bytes: 40_000 }
  const dripping = Array.from({ length: BUDGET_BYTES / LARGE_BYTES - 1 }, () => ({ request: aRequest(), bytes: 0 }))
  for (const body of dripping) grow(body, LARGE_BYTES - 1000)
  const newcomer = aRequest()
  const isAdmitted = () => {
    grow(steady, LEAST_GROWTH_BYTES)
    for (const body of dripping) grow(body, 1)
    return budget.admits(newcomer, LARGE_BYTES, never)
  }
  t.notOk(isAdmitted())
  await eventually(isAdmitted, { deadlineMs: 5000, everyMs: 300 })
  t.strictSame(new Set(evicted), new Set(dripping.map(({ request }) => request)))
})

t.test('a slow body is admitted while there is room', async (t) => {
  const budget = new BodyBudget()
  const slow = aRequest()
  for (const bytes of [40_000, 60_000, 80_000, 100_000]) {
    t.ok(budget.admits(slow, bytes, never), `${bytes}`)
    await pause(400)
    t.ok(budget.admits(aRequest(), 40_000, never), 'another one beside it')
  }
})
