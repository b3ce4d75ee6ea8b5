import { errorRow, errors, type IngressErrorCode } from './errors.ts'

/** JSON:API's own media type, without parameters: it forbids a charset. */
export const ERROR_MEDIA_TYPE = 'application/vnd.api+json'

function write(code: IngressErrorCode): Buffer {
  const { status, title, detail } = errorRow(code)
  return Buffer.from(JSON.stringify({ errors: [{ status: String(status), code, title, detail }] }))
}

const documents = new Map((Object.keys(errors) as IngressErrorCode[]).map((code) => [code, write(code)]))

/**
 * The JSON:API document of an error, as bytes: constant, so written once; and Fastify leaves the content type of bytes
 * as it is.
 */
export function errorDocument(code: IngressErrorCode): Buffer {
  return documents.get(code) ?? write(code)
}
