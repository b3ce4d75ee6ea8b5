import { TypeGuard, type Static, type TObject, type TSchema } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'

import { CodedError } from '@persona-ingest/core'
import { readFileSync } from 'node:fs'

/** The variables as a process has them; an app's `env.ts` passes `process.env`. */
export type EnvSource = Readonly<Record<string, string | undefined>>

type EnvText = { readonly text: string | undefined } | { readonly fault: string }

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
function readVariable(name: string, source: EnvSource): EnvText {
  const direct = unlessBlank(source[name])
  const path = unlessBlank(source[`${name}_FILE`])
  if (path === undefined) return { text: direct }
  if (direct !== undefined) return { fault: `${name}: given together with ${name}_FILE, only one may be set` }
  const file = readText(`${name}_FILE`, path)
  return 'fault' in file ? file : { text: unlessBlank(file.text) }
}

/** Every fault of the environment at once: `NAME: what is wrong`, never a value. */
export class EnvironmentError extends CodedError {
  override readonly name = 'EnvironmentError'
  readonly faults: readonly string[]

  constructor(faults: readonly string[]) {
    const noun = faults.length === 1 ? '1 fault' : `${faults.length} faults`
    super('ENVIRONMENT_INVALID', `${noun} in the environment:\n${faults.map((fault) => `  ${fault}`).join('\n')}`)
    this.faults = Object.freeze([...faults])
  }
}

/** Judges what one field alone cannot; gets the variables that are valid and tells further faults (`NAME: ...`). */
export type EnvCheck<S extends TObject> = (valid: Partial<Static<S>>) => readonly string[]

type FieldResult = { readonly value?: unknown } | { readonly faults: readonly string[] }

/** `Value.Convert` would take `1.5` for the integer 1 and `0x10` for 0: each field says itself how its text is read. */
function convert(field: TSchema, text: string): unknown {
  return typeof field['read'] === 'function' ? (field['read'] as (text: string) => unknown)(text) : text
}

/** A field that can be wrong in several ways finds the faults of its text itself, each as `expected ...`. */
function faultsOf(field: TSchema, text: string): readonly string[] {
  return typeof field['faults'] === 'function' ? (field['faults'] as (text: string) => readonly string[])(text) : []
}

function readField(name: string, field: TSchema, source: EnvSource): FieldResult {
  const found = readVariable(name, source)
  if ('fault' in found) return { faults: [found.fault] }
  if (found.text === undefined && 'default' in field) return { value: field.default }
  if (found.text === undefined) return TypeGuard.IsOptional(field) ? {} : { faults: [`${name}: missing`] }
  const faults = faultsOf(field, found.text)
  if (faults.length > 0) return { faults: faults.map((fault) => `${name}: ${fault}`) }
  const value = convert(field, found.text)
  if (Value.Check(field, value)) return { value }
  return { faults: [`${name}: expected ${String(field['expects'] ?? field.type)}`] }
}

function freeze(value: unknown): unknown {
  return Array.isArray(value) ? Object.freeze([...value]) : value
}

/**
 * Reads an app's environment once, as a whole: default, convert, check.
 *
 * The keys of `schema` are the variables' names, its values come from the field builders. A variable may be given as
 * `<NAME>_FILE`; empty counts as unset. The result and its lists are frozen.
 *
 * @throws EnvironmentError (`ENVIRONMENT_INVALID`) with every fault by name, without values.
 */
export function loadEnv<S extends TObject>(schema: S, source: EnvSource, check?: EnvCheck<S>): Readonly<Static<S>> {
  const env: Record<string, unknown> = {}
  const faults: string[] = []
  for (const [name, field] of Object.entries(schema.properties)) {
    const result = readField(name, field, source)
    if ('faults' in result) faults.push(...result.faults)
    else if (result.value !== undefined) env[name] = freeze(result.value)
  }
  faults.push(...(check?.(env) ?? []))
  if (faults.length > 0) throw new EnvironmentError(faults)
  return Object.freeze(env) as Readonly<Static<S>>
}
