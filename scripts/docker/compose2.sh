#!/usr/bin/env bash
# Builds Compose 2 from its Go module into the cache folder of peers, and prints
# its path: Debian 12 has Compose 1.29 only. Takes minutes, the first time only.
set -euo pipefail

version=v2.40.3
module=github.com/docker/compose/v2
peers=${SALLYPORT_PEERS:-${XDG_CACHE_HOME:-$HOME/.cache}/sallyport-peers}
binary=$peers/tools/compose-$version

if [[ ! -x $binary ]]; then
  mkdir -p "$peers/tools"
  work=$(mktemp -d "$peers/tools/.compose.XXXXXX")
  trap 'rm -rf "$work"' EXIT
  cd "$work"
  echo "building Compose $version into $peers/tools" >&2
  # Another module's exclude directives count only where they are repeated.
  source=$(cd / && go mod download -json "$module@$version" | awk -F'"' '$2 == "GoMod" {print $4}')
  {
    printf 'module compose\ngo 1.26\nrequire %s %s\n' "$module" "$version"
    awk '/^exclude \(/ {block = 1} block || /^exclude / {print} /^\)/ {block = 0}' "$source"
  } >go.mod
  CGO_ENABLED=0 go build -mod=mod -trimpath -buildvcs=false -ldflags "-s -w -X $module/internal.Version=$version" -o compose "$module/cmd" >&2
  mv -f compose "$binary"
fi
echo "$binary"
