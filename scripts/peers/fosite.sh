#!/usr/bin/env bash
# Builds test/fosite, a real OAuth 2.0 server, into the cache folder of peers.
# The second time it only compares a checksum.
set -euo pipefail

source_dir=$(cd "$(dirname "${BASH_SOURCE[0]}")/../../test/fosite" && pwd)
peers=${SALLYPORT_PEERS:-${XDG_CACHE_HOME:-$HOME/.cache}/sallyport-peers}
binary=$peers/fositepeer
stamp=$binary.sources

sources() {
  cd "$source_dir"
  go env GOVERSION
  sha256sum go.mod go.sum ./*.go
}

want=$(sources)
if [[ -x $binary && -f $stamp && $(<"$stamp") == "$want" ]]; then
  exit 0
fi

echo "building fositepeer into $peers (about a minute the first time)" >&2
mkdir -p "$peers"
work=$(mktemp -d "$peers/.fosite.XXXXXX")
trap 'rm -rf "$work"' EXIT
(cd "$source_dir" && CGO_ENABLED=0 go build -trimpath -buildvcs=false -o "$work/fositepeer" .)
# Two builds at once are harmless: each moves a whole file into place.
mv -f "$work/fositepeer" "$binary"
printf '%s\n' "$want" >"$work/sources"
mv -f "$work/sources" "$stamp"
