import t from 'tap'
import { errorDocument } from '../../src/http/errors.ts'
import { errors, IngressError, type IngressErrorCode } from '../../src/index.ts'

t.test('an error document is JSON:API with the status as text', async (t) => {
  for (const code of Object.keys(errors) as IngressErrorCode[]) {
    const { title, detail, status } = errors[code]
    t.same(JSON.parse(errorDocument(code).toString()), { errors: [{ status: String(status), code, title, detail }] })
  }
})

t.test('an error carries its code, constant words and its cause', async (t) => {
  const cause = new Error('why')
  t.match(new IngressError('DRAINING', cause), { name: 'IngressError', code: 'DRAINING', cause })
  t.notOk('cause' in new IngressError('DRAINING'))
})
