import { formatDuration, type Output } from './output.ts'

/** How far long work is; `total` may be an estimate, and grow. */
export type Progress = { readonly done: number; readonly total: number; readonly of: string }
export type ShowProgress = (progress: Progress) => void
export type ProgressBar = {
  readonly show: ShowProgress
  readonly say: (text: string) => void
  readonly clear: () => void
}

const CLEAR_LINE = '\r\u001b[2K'
const DRAWN_EVERY_MS = 100
const WRITTEN_EVERY_MS = 10_000
const WIDTH = 24

const count = (value: number): string => Math.round(value).toLocaleString('en-US')

/** Speed and time left of one kind of work; both start again with the next kind, and after a resumed start. */
class Pace {
  #of = ''
  #startedAtMs = 0
  #startedAt = 0

  text({ done, total, of }: Progress, nowMs: number): string {
    if (of !== this.#of) [this.#of, this.#startedAtMs, this.#startedAt] = [of, nowMs, done]
    const seconds = (nowMs - this.#startedAtMs) / 1000
    const perSecond = (done - this.#startedAt) / seconds
    if (seconds < 1 || perSecond <= 0) return ''
    return `, ${count(perSecond)}/s, ${formatDuration((Math.max(0, total - done) / perSecond) * 1000)} left`
  }
}

function barText({ done, total, of }: Progress, pace: string): string {
  const share = total === 0 ? 1 : Math.min(1, done / total)
  const full = Math.floor(share * WIDTH)
  const bar = `${'█'.repeat(full)}${'░'.repeat(WIDTH - full)}`
  return `${bar} ${Math.floor(share * 100)} %  ${count(done)}/${count(total)} ${of}${pace}`
}

/** A bar on stderr, drawn again in place where stderr is a terminal; else a line every ten seconds. */
export function progressBar(output: Output): ProgressBar {
  const pace = new Pace()
  // Not zero: work that ends at once prints nothing.
  let lastAtMs = performance.now()
  const draw = (text: () => string) => {
    const nowMs = performance.now()
    if (nowMs - lastAtMs < (output.showsProgress ? DRAWN_EVERY_MS : WRITTEN_EVERY_MS)) return
    lastAtMs = nowMs
    if (output.showsProgress) output.draw(`${CLEAR_LINE}${text()}`)
    else output.note(text())
  }
  return {
    show: (progress) => {
      const paceText = pace.text(progress, performance.now())
      draw(() => barText(progress, paceText))
    },
    say: (text) => draw(() => text),
    clear: () => {
      if (output.showsProgress) output.draw(CLEAR_LINE)
    },
  }
}

/** One line on stderr that is drawn again in place; nothing where stderr is no terminal. */
export type StatusLine = { readonly show: (text: string) => void; readonly clear: () => void }

export function statusLine(output: Output): StatusLine {
  if (!output.showsProgress) return { show: () => undefined, clear: () => undefined }
  return { show: (text) => output.draw(`${CLEAR_LINE}${text}`), clear: () => output.draw(CLEAR_LINE) }
}
