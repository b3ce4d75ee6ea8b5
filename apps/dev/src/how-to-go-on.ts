export type Addresses = {
  readonly databaseUrl: string
  readonly redisUrl: string
  readonly webhookUrl: string
  readonly secret: string
  /** Where the data is. */
  readonly folder: string
  /** One that is stored, for the examples. */
  readonly inquiryId: string | undefined
}

/** Says how to look at what is stored and how to send more: commands to copy. */
export function howToGoOn(addresses: Addresses): string {
  const { databaseUrl, redisUrl, webhookUrl, secret, folder, inquiryId = 'inq_...' } = addresses
  return `
Ask the command line (in another terminal):
  export DATABASE_URL='${databaseUrl}' REDIS_URL='${redisUrl}'
  npx pnpm@12 ops inquiries list
  npx pnpm@12 ops timeline ${inquiryId}
  npx pnpm@12 ops status

Ask the database:
  psql '${databaseUrl}'
  SELECT id, status, reference_id, completed_at FROM inquiries ORDER BY event_created_at DESC LIMIT 10;
  SELECT * FROM inquiry_timeline WHERE inquiry_id = '${inquiryId}' ORDER BY event_created_at;

Ask from code:
  const { prisma } = openDatabase({ url: '${databaseUrl}', encryptionKeys: [] })   // @persona-ingest/database
  await prisma.inquiry.findMany({ where: { status: 'approved' }, include: { verifications: true } })

Send more:
  npx pnpm@12 ops simulate --url '${webhookUrl}' --secret '${secret}' --inquiries 10

Deliveries go to ${webhookUrl}. It keeps running; Ctrl-C stops everything, the data stays in ${folder}.
`
}
