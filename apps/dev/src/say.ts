/** Tells the developer one thing; the text may have several lines. */
export type Say = (text: string) => void

/** Writes to standard output, which `dev` shares with the log lines of the apps. */
export const say: Say = (text) => void process.stdout.write(`${text}\n`)
