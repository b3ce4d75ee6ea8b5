/* Prints what SQL sees of an inquiry whose storage is encrypted, and the same inquiry decrypted with the keys. */
import { findInquiry, openDatabase } from '@persona-ingest/database'

const { DATABASE_URL, STORAGE_ENCRYPTION_KEYS } = process.env
const id = process.argv[2]
if (!DATABASE_URL || !STORAGE_ENCRYPTION_KEYS || id === undefined) {
  console.error('Usage: DATABASE_URL=... STORAGE_ENCRYPTION_KEYS=... read-encrypted-rows <inquiry id>')
  process.exit(2)
}
// The keys of the worker, in any order: reading needs the key that each document names.
const database = openDatabase({ url: DATABASE_URL, encryptionKeys: STORAGE_ENCRYPTION_KEYS.split(',') })
try {
  const stored = await database.prisma.inquiry.findUnique({ where: { id }, select: { status: true, fields: true } })
  const details = await findInquiry(database, id)
  if (stored === null || details === null) {
    console.error(`There is no inquiry ${id}.`)
    process.exitCode = 1
  } else {
    // `fields` as SQL and Prisma's models give it: a string that begins with the id of its key.
    const [keyId] = typeof stored.fields === 'string' ? stored.fields.split(':') : []
    const { status, fields } = details.inquiry
    // The decrypted fields are personal data: print them here, and nowhere that is logged.
    console.log(JSON.stringify({ id, status, encryptedWith: keyId ?? null, fields }, null, 2))
  }
} finally {
  await database.close()
}
