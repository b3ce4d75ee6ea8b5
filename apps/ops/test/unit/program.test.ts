import t from 'tap'
import { runOps } from '../../src/program.ts'
import { readEnv } from '../../src/runner/env.ts'
import { captureOutput } from '../fixtures/captured-output.ts'

function unreachable(): never {
  throw new TypeError('Zoe Example')
}

async function run(args: readonly string[], env: Record<string, string> = {}) {
  const output = captureOutput()
  const code = await runOps(args, {
    output,
    confirm: null,
    now: () => 0,
    readEnv: (names) => readEnv(names, env),
    openDatabase: unreachable,
    createProducer: unreachable,
    simulate: unreachable,
  })
  return { code, stdout: output.stdout(), stderr: output.stderr() }
}

t.test('wrong usage exits with 2, says why on one line of stderr, and prints nothing', async (t) => {
  for (const args of [
    ['nothing-of-this-name'],
    ['inquiries', 'nothing-of-this-name'],
    ['inquiries', 'list', '--unknown'],
    ['inquiries', 'list', '--limit', '0'],
    ['inquiries', 'list', '--limit', '1001'],
    ['inquiries', 'list', '--limit', '1.5'],
    ['inquiries', 'list', '--before', 'nonsense'],
    ['inquiries', 'list', '--environment', 'staging'],
    ['inquiries', 'show'],
    ['inquiries', 'show', 'inq_1', 'inq_2'],
    ['timeline'],
    ['events', 'show', 'evt_1', '--raw', '--json'],
    ['dead-letters', 'list', '--state', 'closed'],
    ['dead-letters', 'show', 'evt_1'],
    ['dead-letters', 'show', '1', '--raw', '--json'],
    ['erase'],
    ['erase', ''],
    ['erase', 'inq_1'],
    ['erase', 'inq_1', '--json'],
    ['erase', 'inq_1', '--yes', '--as', 'person'],
    ['changes', 'tail', '--since', 'yesterday'],
    ['changes', 'tail', '--since', '-1'],
    ['changes', 'tail', '--since', '1', '--consumer', 'crm'],
    ['changes', 'tail', 'inq_1'],
    ['prune'],
    ['prune', '--yes'],
    ['prune', '--older-than', '30'],
    ['prune', '--older-than', '30', '--json'],
    ['prune', '--older-than', '0', '--yes'],
    ['prune', '--older-than', '1.5', '--yes'],
    ['prune', '--older-than', '30', '--yes', '--only', 'inquiries'],
  ]) {
    const { code, stdout, stderr } = await run(args)
    t.equal(code, 2, args.join(' '))
    t.equal(stdout, '')
    t.match(stderr, /^error: .+\n$/)
  }
})

t.test('no command at all is wrong usage, and shows the help on stderr', async (t) => {
  for (const args of [[], ['inquiries'], ['events'], ['dead-letters'], ['changes']]) {
    const { code, stdout, stderr } = await run(args)
    t.equal(code, 2)
    t.equal(stdout, '')
    t.match(stderr, 'Usage: ops')
  }
})

t.test('help that was asked for exits with 0', async (t) => {
  for (const args of [['--help'], ['help'], ['inquiries', 'list', '--help']]) {
    const { code, stdout, stderr } = await run(args)
    t.equal(code, 0)
    t.match(stdout, 'Usage: ops')
    t.equal(stderr, '')
  }
})

// @see docs/contract.md#5-command-line-pnpm-ops-command
t.test('every documented command exists under its name', async (t) => {
  const commands = [
    ...['simulate', 'timeline', 'replay', 'rebuild', 'erase', 'prune', 'encrypt', 'status'].map((name) => [name]),
    ...['list', 'show'].map((name) => ['inquiries', name]),
    ['events', 'show'],
    ...['list', 'show', 'replay', 'discard'].map((name) => ['dead-letters', name]),
    ['operations', 'list'],
    ...['tail', 'consumers'].map((name) => ['changes', name]),
  ]
  for (const command of commands) {
    const { code, stdout } = await run([...command, '--help'])
    t.equal(code, 0, command.join(' '))
    // `ops help` would answer for a name that is not there.
    t.match(stdout, new RegExp(`^Usage: ops ${command.length === 1 ? '' : `${command[0]} `}\\S*${command.at(-1)}`))
  }
})

t.test('the earlier name of encrypt works and is not in the help', async (t) => {
  t.match(await run(['seal', '--help']), { code: 0, stdout: /^Usage: ops seal / })
  const { stdout } = await run(['--help'])
  t.match(stdout, ' encrypt ')
  t.notMatch(stdout, 'seal')
})

t.test('a faulty environment exits with 1 and names every fault', async (t) => {
  const { code, stderr } = await run(['status'], { DATABASE_URL: 'mysql://zoe:secret@host' })
  t.equal(code, 1)
  t.match(stderr, /DATABASE_URL: expected/)
  t.match(stderr, /REDIS_URL: missing/)
  t.notMatch(stderr, /zoe|secret/)
})

t.test('a fault of this program shows neither a stack nor what its message quotes', async (t) => {
  const env = { DATABASE_URL: 'postgresql://host' }
  const { code, stderr } = await run(['inquiries', 'list'], env)
  t.equal(code, 1)
  t.match(stderr, /^error: unexpected failure: TypeError .+\n$/)
  const debug = await run(['inquiries', 'list'], { ...env, LOG_LEVEL: 'debug' })
  t.match(debug.stderr, 'program.test.ts')
  t.notMatch(debug.stderr, 'Zoe')
})
