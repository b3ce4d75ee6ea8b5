import { CodedError } from '@persona-ingest/core'

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
