import { findEvent, findEventBody } from '@persona-ingest/database'
import { maskRow } from '@persona-ingest/operations'
import { Option, type Command } from 'commander'
import { printRawBytes } from '../output/output.ts'
import { documentLines, printHeading, printJson, printPairs } from '../output/print.ts'
import { CommandFailure } from '../runner/command-failure.ts'
import type { OpsDeps } from '../runner/ops-deps.ts'
import { jsonOption, revealOption } from '../runner/options.ts'
import { withDatabase } from '../runner/run-command.ts'

type Options = { readonly json?: true; readonly reveal?: true; readonly raw?: true }

function notFound(id: string): CommandFailure {
  return new CommandFailure(`event not found: ${id}`)
}

async function showRaw(deps: OpsDeps, id: string): Promise<void> {
  const body = await withDatabase(deps, async (database) => await findEventBody(database, id))
  if (body === null) throw notFound(id)
  if (body.isPruned) {
    deps.output.note('note: this event was pruned: its ids, types, statuses, times and relationships are left')
  } else if (!body.isAsDelivered) {
    deps.output.note("note: this is jsonb's text, the same in meaning as what was delivered but not byte for byte")
  }
  printRawBytes(deps.output, body.bytes)
}

async function show(deps: OpsDeps, id: string, options: Options): Promise<void> {
  const found = await withDatabase(deps, async (database) => await findEvent(database, id))
  if (found === null) throw notFound(id)
  const event = options.reveal ? found : maskRow(found)
  if (options.json) return printJson(deps.output, event)
  const { payload, ...columns } = event
  printPairs(deps.output, Object.entries(columns))
  printHeading(deps.output, 'payload')
  printPairs(deps.output, documentLines(payload))
}

/** `events show`: an event of the log, masked, revealed, or as the bytes that were delivered. */
export function addEventsShow(events: Command, deps: OpsDeps): void {
  events
    .command('show')
    .description('show an event of the log')
    .argument('<id>', 'id of the event (evt_...)')
    .addOption(revealOption())
    .addOption(new Option('--raw', 'write the bytes as they were delivered, not masked').conflicts('json'))
    .addOption(jsonOption())
    .action(async (id: string, options: Options) =>
      options.raw ? await showRaw(deps, id) : await show(deps, id, options),
    )
}
