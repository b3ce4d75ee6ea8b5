import { pino, type DestinationStream } from 'pino'

/** As much as is written at once; what is over goes out before the pass ends. */
const BUFFER_BYTES = 8_192

/**
 * Standard output for log lines: all lines of one pass of the event loop in one write, synchronously, and the last ones
 * when the process ends by itself. A write a line took a twentieth of all that a delivery costs.
 */
export function standardOutput(): DestinationStream {
  const output = pino.destination({ dest: 1, sync: true, minLength: BUFFER_BYTES })
  let isScheduled = false
  const flush = (): void => {
    isScheduled = false
    // `flushSync` would wait for the disk as well.
    output.flush()
  }
  process.on('exit', flush)
  return {
    write(line) {
      output.write(line)
      if (isScheduled) return
      isScheduled = true
      setImmediate(flush)
    },
  }
}
