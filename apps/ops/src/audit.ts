import { recordOperation, type OperationCounts, type PrismaClient } from '@persona-ingest/database'
import { userInfo } from 'node:os'
import { Option, type Command } from 'commander'

/** Who acts and why, for the row in `operations`. */
export type AuditOptions = { readonly reason?: string | undefined; readonly by?: string | undefined }

/** Adds `--reason` and `--by` to a command that changes what is stored. */
export function addAuditOptions(command: Command): Command {
  return command
    .addOption(new Option('--reason <text>', 'why, for the record of operations; no personal data'))
    .addOption(new Option('--by <name>', 'who, for the record of operations (default: the user of this machine)'))
}

function systemUser(): string {
  try {
    return userInfo().username
  } catch {
    // A container may run under a number that has no name.
    return `uid ${process.getuid?.() ?? 'unknown'}`
  }
}

/** Acts with a row in `operations`; what an interruption or a failure cut short is recorded as failed. */
export async function audited<T>(
  prisma: PrismaClient,
  operation: { readonly command: string; readonly arguments: Readonly<Record<string, unknown>> } & AuditOptions,
  act: (counts: OperationCounts) => Promise<T>,
): Promise<T> {
  const { command, arguments: given, reason = null, by = systemUser() } = operation
  return await recordOperation(prisma, { command, arguments: given, operator: by, reason }, act)
}
