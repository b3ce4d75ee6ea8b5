import { connect, type Socket } from 'node:net'

/** What Redis answers to a command, read as RESP 2. */
export type Reply = string | number | null | Reply[]

const deadlineMs = 5000

/**
 * Sends one command to a Redis on the loopback address over a connection of its own, and gives the answer.
 *
 * Throws when Redis answers with an error, can't be reached, or is silent for 5 seconds. Testkit has this small client
 * since only packages/queue may know a real one.
 */
export function sendCommand(port: number, args: readonly (string | number)[]): Promise<Reply> {
  const socket = connect({ port, host: '127.0.0.1' })
  return new Promise<Reply>((resolve, reject) => {
    const received: Buffer[] = []
    socket.setTimeout(deadlineMs, () => socket.destroy(new Error(`Redis was silent for ${deadlineMs} ms`)))
    socket.on('error', reject)
    socket.on('close', () => reject(new Error('Redis closed the connection without an answer')))
    socket.on('data', (chunk) => {
      received.push(chunk)
      settle(Buffer.concat(received), resolve, reject)
    })
    write(socket, args)
  }).finally(() => socket.destroy())
}

function write(socket: Socket, args: readonly (string | number)[]): void {
  const parts = args.map(String).map((part) => `$${Buffer.byteLength(part)}\r\n${part}\r\n`)
  socket.write(`*${args.length}\r\n${parts.join('')}`)
}

function settle(bytes: Buffer, resolve: (reply: Reply) => void, reject: (error: Error) => void): void {
  try {
    const read = readReply(bytes, 0)
    if (read !== null) resolve(read.reply)
  } catch (error) {
    reject(error as Error)
  }
}

type Read = { readonly reply: Reply; readonly end: number }

/** Reads one reply from `start`; null while it is not complete. */
function readReply(bytes: Buffer, start: number): Read | null {
  const lineEnd = bytes.indexOf('\r\n', start)
  if (lineEnd === -1) return null
  const line = bytes.toString('utf8', start + 1, lineEnd)
  const end = lineEnd + 2
  switch (String.fromCharCode(bytes[start] ?? 0)) {
    case '+':
      return { reply: line, end }
    case ':':
      return { reply: Number(line), end }
    case '$':
      return readBulk(bytes, end, Number(line))
    case '*':
      return readArray(bytes, end, Number(line))
    default:
      throw new Error(`Redis answered: ${line}`)
  }
}

function readBulk(bytes: Buffer, start: number, length: number): Read | null {
  if (length === -1) return { reply: null, end: start }
  const end = start + length + 2
  return bytes.length < end ? null : { reply: bytes.toString('utf8', start, end - 2), end }
}

function readArray(bytes: Buffer, start: number, length: number): Read | null {
  if (length === -1) return { reply: null, end: start }
  const items: Reply[] = []
  let end = start
  while (items.length < length) {
    const item = readReply(bytes, end)
    if (item === null) return null
    items.push(item.reply)
    end = item.end
  }
  return { reply: items, end }
}
