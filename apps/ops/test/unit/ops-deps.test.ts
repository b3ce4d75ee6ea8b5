import { PassThrough } from 'node:stream'
import t from 'tap'
import { confirmOn } from '../../src/runner/ops-deps.ts'

function aTerminal({ isTTY = true } = {}) {
  const [stdin, stderr] = [new PassThrough(), new PassThrough()].map((stream) => Object.assign(stream, { isTTY }))
  return { stdin, stderr } as never as Parameters<typeof confirmOn>[0] & Record<'stdin' | 'stderr', PassThrough>
}

t.test('only the whole word is a yes', async (t) => {
  for (const [typed, expected] of [
    ['yes\n', true],
    [' yes \n', true],
    ['y\n', false],
    ['\n', false],
    ['no\n', false],
    ['YES!\n', false],
  ] as const) {
    const terminal = aTerminal()
    const answer = confirmOn(terminal)?.('Erase this for good?')
    terminal.stdin.write(typed)
    t.equal(await answer, expected, JSON.stringify(typed))
    t.match(String(terminal.stderr.read()), 'Erase this for good? Type yes: ')
  }
})

t.test('an input that ends is no yes', async (t) => {
  const terminal = aTerminal()
  const answer = confirmOn(terminal)?.('Sure?')
  terminal.stdin.end()
  t.equal(await answer, false)
})

t.test('without a terminal there is nobody to ask', async (t) => {
  t.equal(confirmOn(aTerminal({ isTTY: false })), null)
})
