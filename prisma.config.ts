import { defineConfig } from 'prisma/config'

// `prisma generate` needs no database; `prisma migrate deploy` reads DATABASE_URL from the environment.
export default defineConfig({
  schema: 'prisma/schema.prisma',
  migrations: { path: 'prisma/migrations' },
  ...(process.env['DATABASE_URL'] ? { datasource: { url: process.env['DATABASE_URL'] } } : {}),
})
