import { connect, type Socket } from 'node:net'

type Waiting = (status: number) => void

/**
 * One kept connection that has one request under way at a time, written and read as bytes: the load must cost little of
 * the machine that it shares with what is measured.
 */
export class HttpConnection {
  readonly #port: number
  #socket: Socket | null = null
  #answer = ''
  #waiting: Waiting | null = null

  constructor(port: number) {
    this.#port = port
  }

  get isIdle(): boolean {
    return this.#waiting === null
  }

  /** Sends a whole request; `done` gets the status, 0 where the connection ended first. */
  send(request: Buffer, done: Waiting): void {
    this.#waiting = done
    this.#socket ??= this.#open()
    this.#socket.write(request)
  }

  close(): void {
    this.#socket?.destroy()
  }

  #open(): Socket {
    const socket = connect({ port: this.#port, host: '127.0.0.1', noDelay: true })
    socket.setEncoding('latin1')
    socket.on('data', (piece: string) => this.#read(piece))
    socket.on('error', () => {})
    socket.on('close', () => {
      this.#socket = null
      this.#settle(0)
    })
    return socket
  }

  #read(piece: string): void {
    this.#answer += piece
    const headEnd = this.#answer.indexOf('\r\n\r\n')
    if (headEnd === -1) return
    const length = /content-length: (\d+)/i.exec(this.#answer)?.[1]
    if (length === undefined) throw new Error('Expected an answer with a content-length')
    if (this.#answer.length >= headEnd + 4 + Number(length)) this.#settle(Number(this.#answer.slice(9, 12)))
  }

  #settle(status: number): void {
    this.#answer = ''
    const waiting = this.#waiting
    this.#waiting = null
    waiting?.(status)
  }
}
