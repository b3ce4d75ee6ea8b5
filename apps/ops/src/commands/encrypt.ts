import { encryptStored } from '@persona-ingest/operations'
import type { Command } from 'commander'
import { printJson } from '../output/print.ts'
import { printEncrypted } from '../reports/maintenance.ts'
import type { OpsDeps } from '../runner/ops-deps.ts'
import { addAuditOptions, jsonOption, type AuditOptions } from '../runner/options.ts'
import { maintain } from '../runner/run-command.ts'

type Options = AuditOptions & { readonly json?: true }

async function run(deps: OpsDeps, options: Options): Promise<void> {
  const report = await maintain(deps, options, async (context, progress) =>
    encryptStored(context, {
      onProgress: ({ column, done, total }) => progress.show({ done, total, of: `rows read for ${column}` }),
    }),
  )
  // The member keeps the command's earlier name: programs read it.
  if (options.json) printJson(deps.output, { sealed: report })
  else printEncrypted(deps.output, report)
}

/** `encrypt`: encrypts all stored personal documents with the newest key. `seal` is a hidden alias. */
export function addEncrypt(program: Command, deps: OpsDeps): void {
  for (const [name, isAlias] of [
    ['encrypt', false],
    ['seal', true],
  ] as const) {
    const command = program
      .command(name, { hidden: isAlias })
      .description('bring all personal documents that are stored under the first of STORAGE_ENCRYPTION_KEYS')
    addAuditOptions(command)
      .addOption(jsonOption())
      .action(async (options: Options) => await run(deps, options))
  }
}
