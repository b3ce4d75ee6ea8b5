import t from 'tap'
import { timelineSteps } from '../../src/commands/timeline.ts'

t.test('a step tells the status before it, and whether it changed it', async (t) => {
  const row = (status: string | null) => ({
    inquiry_id: 'inq_1',
    event_id: 'evt_1',
    event_name: 'inquiry.transitioned',
    event_created_at: new Date(0),
    received_at: new Date(0),
    status,
    out_of_order: false,
  })
  const steps = timelineSteps([null, 'created', 'created', null, 'pending'].map(row))
  t.strictSame(
    steps.map((step) => [step.previous_status, step.status, step.status_changed]),
    [
      [null, null, false],
      [null, 'created', true],
      ['created', 'created', false],
      ['created', null, false],
      ['created', 'pending', true],
    ],
  )
})
