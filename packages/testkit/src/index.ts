export { builtApp, nodeCommand } from './built-app.ts'
export { cacheFolder } from './cache-folder.ts'
export { eventually, type EventuallyOptions } from './eventually.ts'
export { freePort, isPortFree } from './free-port.ts'
export { halfOpenProxy, type HalfOpenProxy } from './half-open-proxy.ts'
export { isReachable, serverAccount, type ServerAccount } from './operating-system.ts'
export { startPostgres, type PostgresServer, type PostgresOptions } from './postgres-server.ts'
export { preparePowerCuts, type PowerCut, type PowerCuts } from './power-cut.ts'
export { acquireLock, killWithOwner, LockHeldError } from './process-owner.ts'
export { startRedis, throwAwayRedis, type RedisOptions, type RedisServer } from './redis-server.ts'
export { valuesOf, valuesSql } from './row-values.ts'
export { spawnApp, type SpawnedApp, type SpawnAppOptions, type AppExit } from './spawn-app.ts'
export { everyKey, everyRow, marksIn, tableRows } from './stored-text.ts'
export { type TestScope } from './test-scope.ts'
export { noCertificates, throwAwayCertificate, type Certificate } from './throw-away-certificate.ts'
export {
  noPgBouncer,
  throwAwayCopy,
  throwAwayDatabase,
  throwAwayPooler,
  type PoolerOptions,
  type ThrowAwayDatabase,
  type ThrowAwayDatabaseOptions,
} from './throw-away-database.ts'
