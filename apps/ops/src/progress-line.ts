import type { SimulationProgress } from '@persona-ingest/simulator'
import type { Output } from './output.ts'

const CLEAR_LINE = '\r\u001b[2K'

/** One line on stderr that is drawn again and again; nothing where that is no terminal. */
export type ProgressLine = { readonly show: (progress: SimulationProgress) => void; readonly clear: () => void }

function text(progress: SimulationProgress): string {
  const { plannedDeliveries, begunDeliveries, acknowledgedEvents, retriesWaiting, gaveUpEvents } = progress
  const share = plannedDeliveries === 0 ? 100 : Math.floor((100 * begunDeliveries) / plannedDeliveries)
  const rest = retriesWaiting + gaveUpEvents === 0 ? '' : `, ${retriesWaiting} to retry, ${gaveUpEvents} given up`
  return `${share} %  ${begunDeliveries}/${plannedDeliveries} deliveries, ${acknowledgedEvents} events acknowledged${rest}`
}

export function progressLine(output: Output): ProgressLine {
  if (!output.showsProgress) return { show: () => undefined, clear: () => undefined }
  return {
    show: (progress) => output.draw(`${CLEAR_LINE}${text(progress)}`),
    clear: () => output.draw(CLEAR_LINE),
  }
}
