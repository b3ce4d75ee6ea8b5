import {
  casings,
  rotations,
  scenarios,
  shuffles,
  type Casing,
  type Rotation,
  type Scenario,
  type Shuffle,
} from '@persona-ingest/simulator'
import { InvalidArgumentError, Option, type Command } from 'commander'
import { jsonOption, wholeNumber } from './options.ts'

export type SimulateOptions = {
  readonly url: string
  readonly secret?: readonly string[]
  readonly inquiries: number
  readonly scenarios?: readonly Scenario[]
  readonly rate?: number
  readonly duplicates: number
  readonly shuffle: Shuffle
  readonly casing: Casing | 'mixed'
  readonly rotate: Rotation
  readonly concurrency: number
  readonly duration?: number
  readonly seed?: string
  readonly compressTime: number
  readonly json?: true
}

const MAX_INQUIRIES = 100_000_000

/** A number of `min` or more. */
export function number(min: number): (text: string) => number {
  return (text) => {
    const value = /^\d{1,12}(\.\d{1,6})?$/.test(text) ? Number(text) : Number.NaN
    if (value >= min) return value
    throw new InvalidArgumentError(`Expected a number of ${min} or more.`)
  }
}

function listItems(text: string): readonly string[] {
  return text
    .split(',')
    .map((item) => item.trim())
    .filter((item) => item !== '')
}

/** A comma-separated list; a repeated option adds to it. */
export function secretList(text: string, earlier: readonly string[] = []): readonly string[] {
  return [...earlier, ...listItems(text)]
}

const isScenario = (name: string): name is Scenario => (scenarios as readonly string[]).includes(name)

export function scenarioList(text: string): readonly Scenario[] {
  const names = listItems(text)
  const known = names.filter(isScenario)
  if (names.length > 0 && known.length === names.length) return known
  throw new InvalidArgumentError(`Expected names out of ${scenarios.join(', ')}.`)
}

const WEBHOOK_PATH = '/webhooks/persona'

/** The URL of an ingress; the path of the webhook is added where it is missing. */
export function webhookUrl(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : null
  if (url === null || !['http:', 'https:'].includes(url.protocol)) {
    throw new InvalidArgumentError('Expected a URL that begins with http:// or https://.')
  }
  const path = url.pathname.replace(/\/+$/, '')
  url.pathname = path.endsWith(WEBHOOK_PATH) ? path : `${path}${WEBHOOK_PATH}`
  return url.href
}

/** Adds the options of `simulate`. */
export function addSimulationOptions(command: Command): Command {
  return command
    .addOption(
      new Option('--url <url>', 'the ingress, with or without /webhooks/persona')
        .default(webhookUrl('http://127.0.0.1:8080'))
        .argParser(webhookUrl),
    )
    .addOption(
      new Option('--secret <secret>', 'secret to sign with; repeatable, or a comma-separated list').argParser(
        secretList,
      ),
    )
    .addOption(new Option('--inquiries <n>', 'how many').default(10).argParser(wholeNumber(1, MAX_INQUIRIES)))
    .addOption(
      new Option('--scenarios <list>', `taken in turn, out of ${scenarios.join(', ')} (default: all)`).argParser(
        scenarioList,
      ),
    )
    .addOption(new Option('--rate <n>', 'new deliveries a second (default: unlimited)').argParser(number(0.001)))
    .addOption(
      new Option('--duplicates <share>', 'share of events delivered again: 0.1 = a tenth')
        .default(0)
        .argParser(number(0)),
    )
    .addOption(
      new Option('--shuffle [how]', 'within each inquiry, or over everything')
        .choices(shuffles)
        .default('none')
        .preset('full'),
    )
    .addOption(new Option('--casing <name>', "the bodies' keys").choices([...casings, 'mixed']).default('kebab'))
    .addOption(
      new Option('--rotate [how]', 'sign with two secrets: both at once, or one and from halfway on the other')
        .choices(rotations)
        .default('none')
        .preset('both'),
    )
    .addOption(new Option('--concurrency <n>', 'requests at once').default(32).argParser(wholeNumber(1, 10_000)))
    .addOption(new Option('--duration <seconds>', 'begin no delivery after this').argParser(number(0.001)))
    .addOption(new Option('--seed <text>', 'the same seed gives the same inquiries'))
    .addOption(
      new Option('--compress-time <factor>', "divide the waits of the provider's retries (51 hours in all)")
        .default(1)
        .argParser(number(0.001)),
    )
    .addOption(jsonOption())
}
