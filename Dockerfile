# One file for every image; the targets are `ingress`, `worker`, `notifier`, `ops` and `migrate`.
# Nothing in here depends on the processor: linux/amd64 and linux/arm64 build alike.

# Manifests alone, so that a change of source does not install again.
FROM node:24-bookworm-slim AS manifests
COPY . /app
RUN find /app -type f -not -name package.json -not -name 'pnpm-*.yaml' -delete && find /app -type d -empty -delete

FROM node:24-bookworm-slim AS build
WORKDIR /app
COPY --from=manifests /app ./
# Build scripts are for tests and `dev` alone (the PostgreSQL binaries).
RUN npx --yes pnpm@12 install --frozen-lockfile --ignore-scripts
COPY . .
# Generating needs no schema engine, but Prisma looks for one and would download it.
RUN PRISMA_SCHEMA_ENGINE_BINARY=/bin/true node_modules/.bin/prisma generate --no-hints \
 && node_modules/.bin/tsc -b apps/ingress apps/worker apps/notifier apps/ops apps/migrate \
 && for app in ingress worker notifier ops migrate; do sh deploy/image/assemble-app.sh "$app" || exit 1; done

# The five trees alone: what is copied from is small.
FROM scratch AS assembled
COPY --from=build /out /

# What every image stands on: no package manager, an ordinary user, no file of ours that this user may write to.
FROM node:24-bookworm-slim AS runtime
RUN rm -rf /usr/local/lib/node_modules /opt/yarn-* \
 && cd /usr/local/bin && rm -f npm npx corepack pnpm pnpx yarn yarnpkg
# A container's own loopback is of no use to a scraper outside of it.
ENV NODE_ENV=production METRICS_HOST=0.0.0.0
USER node

# Node.js is process 1 and handles SIGTERM and SIGINT itself: it drains. The health check asks /livez and not /readyz,
# since some supervisors replace what is unhealthy, and a new process mends no outage of Redis or PostgreSQL.
FROM runtime AS ingress
COPY --from=assembled /ingress /app
COPY deploy/image/health-check.mjs /app/
EXPOSE 8080 9464
HEALTHCHECK --interval=15s --timeout=5s --start-period=20s \
  CMD ["node", "/app/health-check.mjs", "9464", "/livez"]
ENTRYPOINT ["node", "/app/apps/ingress/dist/main.js"]

FROM runtime AS worker
COPY --from=assembled /worker /app
COPY deploy/image/health-check.mjs /app/
EXPOSE 9465
HEALTHCHECK --interval=15s --timeout=5s --start-period=20s \
  CMD ["node", "/app/health-check.mjs", "9465", "/livez"]
# Room for what a batch makes and drops: it saves a sixth of the processor time (docs/performance.md).
ENTRYPOINT ["node", "--max-semi-space-size=64", "/app/apps/worker/dist/main.js"]

FROM runtime AS notifier
COPY --from=assembled /notifier /app
COPY deploy/image/health-check.mjs /app/
EXPOSE 9467
HEALTHCHECK --interval=15s --timeout=5s --start-period=20s \
  CMD ["node", "/app/health-check.mjs", "9467", "/livez"]
ENTRYPOINT ["node", "/app/apps/notifier/dist/main.js"]

# The commands below end by themselves and leave signals to the default, which process 1 does not have: run them with an
# init process (`docker run --init`).
FROM runtime AS migrate
COPY --from=assembled /migrate /app
ENTRYPOINT ["node", "/app/apps/migrate/dist/main.js"]

FROM runtime AS ops
COPY --from=assembled /ops /app
ENTRYPOINT ["node", "/app/apps/ops/dist/main.js"]
