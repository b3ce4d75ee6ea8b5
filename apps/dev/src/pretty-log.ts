import pretty from 'pino-pretty'

/** A stream that prints an app's JSON log lines for people; it leaves other lines as they are. */
export function pinoPretty(): NodeJS.WritableStream {
  return pretty({
    colorize: process.stdout.isTTY,
    ignore: 'pid,hostname,app,requestId',
    messageFormat: '{app}: {msg}',
    singleLine: true,
    sync: true,
    translateTime: 'SYS:HH:MM:ss.l',
  })
}
