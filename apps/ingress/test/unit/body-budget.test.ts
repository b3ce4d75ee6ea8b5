import { IncomingMessage } from 'node:http'
import { Socket } from 'node:net'
import t from 'tap'
import { BodyBudget, BUDGET_BYTES } from '../../src/delivery/body-budget.ts'

const LIMIT_BYTES = 2 * 1024 * 1024

function aRequest(headers: Record<string, string>): IncomingMessage {
  const request = new IncomingMessage(new Socket())
  Object.assign(request.headers, headers)
  return request
}

/** Takes large bodies until there is no room; gives them. */
function filled(budget: BodyBudget): readonly IncomingMessage[] {
  const requests = Array.from({ length: BUDGET_BYTES / LIMIT_BYTES }, () => aRequest({ 'content-length': String(LIMIT_BYTES) })) // prettier-ignore
  for (const request of requests) t.ok(budget.admits(request))
  return requests
}

t.test('large bodies are admitted up to the budget, and again as soon as a request is over', async (t) => {
  const budget = new BodyBudget(LIMIT_BYTES)
  const [first] = filled(budget)
  t.notOk(budget.admits(aRequest({ 'content-length': '40000' })))
  t.notOk(budget.admits(aRequest({ 'transfer-encoding': 'chunked' })), 'one that announces nothing counts as large')
  first?.emit('close')
  t.ok(budget.admits(aRequest({ 'transfer-encoding': 'chunked' })))
  t.notOk(budget.admits(aRequest({ 'content-length': String(LIMIT_BYTES) })))
})

t.test('chunked bodies, of unknown length, take an eighth of the usual limit each', async (t) => {
  const budget = new BodyBudget(LIMIT_BYTES)
  const chunked = () => aRequest({ 'transfer-encoding': 'chunked' })
  for (let count = 0; count < 512; count += 1) if (!budget.admits(chunked())) t.fail(`refused after ${count}`)
  t.notOk(budget.admits(chunked()))
})

t.test('small bodies, none, and those that the limit refuses anyway need no room', async (t) => {
  const budget = new BodyBudget(LIMIT_BYTES)
  filled(budget)
  for (const headers of [{ 'content-length': '32768' }, {}, { 'content-length': String(LIMIT_BYTES + 1) }]) {
    t.ok(budget.admits(aRequest(headers as Record<string, string>)), JSON.stringify(headers))
  }
})

t.test('a limit above the budget lets one body through at a time', async (t) => {
  const budget = new BodyBudget(2 * BUDGET_BYTES)
  const large = () => aRequest({ 'content-length': String(2 * BUDGET_BYTES) })
  t.ok(budget.admits(large()))
  t.notOk(budget.admits(large()))
})
