import { execFile } from 'node:child_process'
import { mkdtemp, readdir, readFile, stat, truncate } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { fileURLToPath } from 'node:url'

const run = promisify(execFile)
const source = fileURLToPath(new URL('../native/durable-size.c', import.meta.url))

/** Makes one server forget, after SIGKILL, what it had written but not yet synced to disk, as a power cut does. */
export interface PowerCut {
  /** What the server's environment needs. */
  readonly env: Readonly<Record<string, string>>
  /** Cuts the append-only files in a folder back to what was durable; the server must be gone. Returns bytes lost. */
  forgetUnsynced(folder: string): Promise<number>
}

/** Makes a power cut for each server: their files have the same names, and their notes must not mix. */
export type PowerCuts = () => Promise<PowerCut>

/** Prepares power cuts, or null where no C compiler is: then they can't be shown here. */
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
