import { execFile } from 'node:child_process'
import { mkdtemp, readdir, readFile, stat, truncate } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

const run = promisify(execFile)
const source = fileURLToPath(new URL('../native/durable-size.c', import.meta.url))

/** Removes, after SIGKILL, the writes of one server that were not synced to disk, as a power cut does. */
export interface PowerCut {
  /** Variables for the server's environment. */
  readonly env: Readonly<Record<string, string>>
  /** Cuts the append-only files of a stopped server to their synced size. Returns the number of removed bytes. */
  forgetUnsynced(folder: string): Promise<number>
}

/** Returns a separate power cut for each server, since the files of two servers have the same names. */
export type PowerCuts = () => Promise<PowerCut>

/** Prepares power cuts. Resolves with null where no C compiler is installed. */
export async function preparePowerCuts(): Promise<PowerCuts | null> {
  const folder = await mkdtemp(join(tmpdir(), 'persona-ingest-power-cut-'))
  const library = join(folder, 'durable-size.so')
  try {
    await run('cc', ['-shared', '-fPIC', '-O2', '-o', library, source, '-ldl'])
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null
    throw error
  }
  return async () => {
    const notes = await mkdtemp(join(folder, 'notes-'))
    return {
      env: { LD_PRELOAD: library, NOTES_FOLDER: notes },
      forgetUnsynced: (dataFolder) => cutBack(dataFolder, notes),
    }
  }
}

async function cutBack(dataFolder: string, notes: string): Promise<number> {
  let lost = 0
  for (const name of await readdir(dataFolder)) {
    if (!name.endsWith('.aof')) continue
    const file = join(dataFolder, name)
    const durable = Number(await readFile(join(notes, name), 'utf8').catch(() => '0'))
    const { size } = await stat(file)
    if (durable > size) throw new Error(`${name} has ${size} bytes, of which ${durable} are noted as durable`)
    lost += size - durable
    await truncate(file, durable)
  }
  return lost
}
