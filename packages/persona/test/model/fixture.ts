import { readFileSync } from 'node:fs'

/** The bytes of a file in `test/fixtures`: synthetic documents after shapes seen in public. */
export function fixture(name: string): Buffer {
  return readFileSync(new URL(`../fixtures/${name}`, import.meta.url))
}
