/* Lists the open dead letters, or replays one of them and waits for its outcome, through `pnpm ops` with `--json`. */
import { spawnSync } from 'node:child_process'

// For the stack in containers: OPS_COMMAND="docker compose run --rm ops".
const [program = 'node', ...before] = (process.env['OPS_COMMAND'] ?? 'node apps/ops/dist/main.js').split(' ')

/** Runs one command and gives its document. Exit code 1 comes with a document too: the command did less than asked. */
function ops(...args: readonly string[]): unknown {
  const { status, stdout, error } = spawnSync(program, [...before, ...args, '--json'], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
    maxBuffer: 64 * 1024 * 1024,
  })
  if (error !== undefined) throw error
  if (stdout === '') {
    console.error(`${args.join(' ')}: no answer, exit code ${status}`)
    process.exit(status === 0 ? 1 : (status ?? 1))
  }
  return JSON.parse(stdout)
}

type Listed = { readonly id: string; readonly event_id: string | null; readonly reason: string }
type Shown = { readonly reason: string; readonly meaning: string; readonly advice: string }
type Replayed = { readonly applied: readonly string[]; readonly failed_again: readonly string[] }

const id = process.argv[2]
if (id === undefined) {
  const { dead_letters: letters } = ops('dead-letters', 'list') as { readonly dead_letters: readonly Listed[] }
  for (const letter of letters) console.log(`${letter.id} ${letter.reason} ${letter.event_id ?? '(no event id)'}`)
} else {
  const { reason, meaning, advice } = ops('dead-letters', 'show', id) as Shown
  console.log(`${reason}: ${meaning}\n${advice}`)
  // `--reason` stands in the table `operations`, with the time and the user: no personal data in it.
  const why = ['--reason', 'the cause is mended']
  const { applied, failed_again: failed } = ops('dead-letters', 'replay', id, '--wait', ...why) as Replayed
  if (applied.includes(id)) console.log(`${id} is replayed: its event is stored`)
  else {
    console.log(failed.includes(id) ? `${id} failed again` : `${id} is left as it is`)
    process.exitCode = 1
  }
}
