import { findStartTick, tailChanges, type ChangeRow } from '@persona-ingest/database'
import { Option, type Command } from 'commander'
import type { Output } from '../output/output.ts'
import { jsonLine, rowLine } from '../output/print.ts'
import type { OpsDeps } from '../runner/ops-deps.ts'
import { tick } from '../runner/options.ts'
import { untilInterrupted, withDatabase } from '../runner/run-command.ts'

type Options = { readonly consumer?: string; readonly since?: bigint; readonly json?: true }

const COLUMNS = ['changed_at', 'family', 'object_id', 'version', 'status', 'cause', 'event_id', 'inquiry_id'] as const
/** An id of the provider has 28 to 32 characters. */
const WIDTHS = [24, 12, 32, 7, 26, 9, 28]

function statusText({ status, previous_status: previous }: ChangeRow): string | null {
  return previous === null || previous === status ? status : `${previous} → ${status ?? '-'}`
}

function lineOf(row: ChangeRow, isJson: boolean): string {
  if (isJson) return jsonLine({ ...row, seq: Number(row.seq), version: Number(row.version) })
  const cells = { ...row, version: String(row.version), status: statusText(row) }
  return rowLine(
    COLUMNS.map((column) => cells[column]),
    WIDTHS,
  )
}

/** One write for a part: a large tick holds millions of changes. */
function print(output: Output, changes: readonly ChangeRow[], isJson: boolean): void {
  output.write(changes.map((change) => lineOf(change, isJson)).join(''))
}

async function tail(deps: OpsDeps, { consumer, since, json }: Options): Promise<void> {
  const isJson = json === true
  const { output } = deps
  const onOutage = (description: string) => output.note(`database: ${description}; waiting for it`)
  await withDatabase(deps, async (database) => {
    const from = await findStartTick(database, { tick: since, consumer })
    if (!isJson) output.note(`changes after tick ${from}; Ctrl-C ends`)
    if (!isJson) output.write(rowLine(COLUMNS, WIDTHS))
    await untilInterrupted(async (signal) => {
      for await (const changes of tailChanges(database, { from, signal, onOutage })) {
        print(output, changes, isJson)
        if (output.isClosed()) return
      }
    })
  })
}

/** `changes tail`: prints changes of rows as they come, until Ctrl-C. It moves no cursor. */
export function addChangesTail(changes: Command, deps: OpsDeps): void {
  changes
    .command('tail')
    .description('print changes of rows as they come, until Ctrl-C')
    .addOption(new Option('--consumer <name>', 'from the cursor of this consumer, which stays').conflicts('since'))
    .addOption(new Option('--since <tick>', 'from this tick (default: the latest)').argParser(tick))
    .addOption(new Option('--json', 'print one JSON object a line'))
    .action(async (options: Options) => await tail(deps, options))
}
