import { readFileSync } from 'node:fs'

/** The variables as a process has them; an app's `env.ts` passes `process.env`. */
export type EnvSource = Readonly<Record<string, string | undefined>>

export type EnvText = { readonly text: string | undefined } | { readonly fault: string }

function systemCode(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : 'unknown'
}

/** The text of a file in UTF-8, with or without a byte order mark; null for any other encoding. */
function decode(bytes: Uint8Array): string | null {
  try {
    const text = new TextDecoder('utf-8', { fatal: true }).decode(bytes)
    // UTF-16 without a byte order mark is UTF-8 with zero bytes.
    return text.includes('\0') ? null : text
  } catch {
    return null
  }
}

function readText(name: string, path: string): EnvText {
  try {
    const text = decode(readFileSync(path))
    return text === null ? { fault: `${name}: file is not text in UTF-8` } : { text: text.replace(/\r?\n$/, '') }
  } catch (error) {
    return { fault: `${name}: file cannot be read (${systemCode(error)})` }
  }
}

/** Blanks alone are what an empty line of a template leaves behind: they count as empty, and empty as unset. */
function unlessBlank(text: string | undefined): string | undefined {
  const trimmed = text?.trim()
  return trimmed === '' ? undefined : trimmed
}

/** Finds the text of variable `name`: from itself or from the file that `<name>_FILE` points to, never both. */
export function readVariable(name: string, source: EnvSource): EnvText {
  const direct = unlessBlank(source[name])
  const path = unlessBlank(source[`${name}_FILE`])
  if (path === undefined) return { text: direct }
  if (direct !== undefined) return { fault: `${name}: given together with ${name}_FILE, only one may be set` }
  const file = readText(`${name}_FILE`, path)
  return 'fault' in file ? file : { text: unlessBlank(file.text) }
}
