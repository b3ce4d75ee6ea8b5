import { readFileSync } from 'node:fs'
import { TypeGuard, type Static, type TObject, type TSchema } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'
import { CodedError } from '@persona-ingest/core'

/** The variables of a process; `env.ts` of an app passes `process.env`. */
export type EnvSource = Readonly<Record<string, string | undefined>>

/** Finds faults that concern several variables. Receives the valid ones and returns `NAME: what is wrong`. */
export type EnvCheck<S extends TObject> = (valid: Partial<Static<S>>) => readonly string[]

/** Every fault of the environment: `NAME: what is wrong`, never a value. */
export class EnvironmentError extends CodedError {
  override readonly name = 'EnvironmentError'
  readonly faults: readonly string[]

  constructor(faults: readonly string[]) {
    const noun = faults.length === 1 ? '1 fault' : `${faults.length} faults`
    super('ENVIRONMENT_INVALID', `${noun} in the environment:\n${faults.map((fault) => `  ${fault}`).join('\n')}`)
    this.faults = Object.freeze([...faults])
  }
}

type EnvText = { readonly text: string | undefined } | { readonly fault: string }

function systemCode(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : 'unknown'
}

/** The text of a file in UTF-8, with or without a byte order mark; null for any other encoding. */
function decode(bytes: Uint8Array): string | null {
  try {
    const text = new TextDecoder('utf-8', { fatal: true }).decode(bytes)
    // UTF-16 without a byte order mark passes as UTF-8 with zero bytes.
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

/** An empty line of a template leaves blanks: they count as unset, as an empty text does. */
function unlessBlank(text: string | undefined): string | undefined {
  const trimmed = text?.trim()
  return trimmed === '' ? undefined : trimmed
}

/** Finds the text of variable `name`: from itself or from the file that `<name>_FILE` names, never both. */
function readVariable(name: string, source: EnvSource): EnvText {
  const direct = unlessBlank(source[name])
  const path = unlessBlank(source[`${name}_FILE`])
  if (path === undefined) return { text: direct }
  if (direct !== undefined) return { fault: `${name}: given together with ${name}_FILE, only one may be set` }
  const file = readText(`${name}_FILE`, path)
  return 'fault' in file ? file : { text: unlessBlank(file.text) }
}

/** `Value.Convert` would read `1.5` as the integer 1 and `0x10` as 0: each field reads its own text. */
function convert(field: TSchema, text: string): unknown {
  return typeof field['read'] === 'function' ? (field['read'] as (text: string) => unknown)(text) : text
}

/** A field with several possible faults finds the faults of its text itself, each as `expected ...`. */
function faultsOf(field: TSchema, text: string): readonly string[] {
  return typeof field['faults'] === 'function' ? (field['faults'] as (text: string) => readonly string[])(text) : []
}

type FieldResult = { readonly value?: unknown } | { readonly faults: readonly string[] }

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
 * Reads the whole environment of an app once: default, convert, check.
 *
 * The keys of `schema` are the names of the variables, its values come from the field builders. A variable may be given
 * as `<NAME>_FILE`; an empty one counts as unset. The result and its lists are frozen.
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

/**
 * Runs `readEnv` of an app; where the environment is invalid, prints every fault and ends the process with exit code 1.
 *
 * The faults go to stderr as plain text: `LOG_LEVEL` itself may be invalid, or `silent`.
 */
export function exitOnInvalidEnv<T>(readEnv: () => T): T {
  try {
    return readEnv()
  } catch (error) {
    if (!(error instanceof EnvironmentError)) throw error
    process.stderr.write(`${error.message}\n`)
    return process.exit(1)
  }
}
