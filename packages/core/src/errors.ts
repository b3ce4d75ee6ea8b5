/**
 * The base class of the project's errors: a stable `code` and a constant message that never quotes outside data.
 *
 * The logger keeps the messages of these errors and of system errors of Node.js. Other messages may quote a payload.
 */
export class CodedError<C extends string = string> extends Error {
  override readonly name: string = 'CodedError'
  readonly code: C

  constructor(code: C, message: string, options?: { cause?: unknown }) {
    super(message, options)
    this.code = code
  }
}
