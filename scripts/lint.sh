#!/usr/bin/env bash
# gofmt, go vet, staticcheck, govulncheck and shellcheck: runs them all, then
# fails if any found something. The tools are built once, at the versions named
# here, into the cache folder of peers.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit

staticcheck=honnef.co/go/tools/cmd/staticcheck@v0.8.2
govulncheck=golang.org/x/vuln/cmd/govulncheck@v1.9.0

tools=${SALLYPORT_PEERS:-${XDG_CACHE_HOME:-$HOME/.cache}/sallyport-peers}/tools
failed=()

# tool MODULE@VERSION prints the path of the program, built if it isn't there.
# One built by an older Go can't read the packages of a newer, so its name
# carries both versions.
tool() {
  local name version dir work
  name=${1%@*} version=${1#*@}
  dir=$tools/$version-$(go env GOVERSION)
  name=${name##*/}
  if [[ ! -x $dir/$name ]]; then
    mkdir -p "$dir"
    work=$(mktemp -d "$dir/.new.XXXXXX")
    GOBIN=$work go install "$1" && mv -f "$work/$name" "$dir/$name"
    rm -rf "$work"
  fi
  [[ -x $dir/$name ]] && echo "$dir/$name"
}

lint_gofmt() {
  local changed
  changed=$(git ls-files -co --exclude-standard -- '*.go' | while read -r file; do
    [[ ! -f $file ]] || echo "$file"
  done | xargs -r gofmt -l) || return
  [[ -z $changed ]] || {
    echo "gofmt -w would change:"
    echo "$changed"
    return 1
  }
}

lint_vet() { go vet ./...; }

lint_staticcheck() {
  local program
  program=$(tool "$staticcheck") && "$program" ./...
}

# It exits 3 for what it found. Its database is on the network: where that is
# not to be had nothing was checked, which is said, and is no finding.
lint_govulncheck() {
  local program out status
  program=$(tool "$govulncheck") || return
  out=$("$program" ./... 2>&1)
  status=$?
  if [[ $status -ne 0 && $status -ne 3 ]] && grep -q 'fetching vulnerabilities' <<<"$out"; then
    cat <<'TEXT'
**********************************************************************
govulncheck: NOT CHECKED. The vulnerability database is unreachable
from this machine; run `make lint` where it is.
**********************************************************************
TEXT
    return 0
  fi
  [[ $status -eq 0 ]] || echo "$out"
  return "$status"
}

lint_shellcheck() {
  command -v shellcheck >/dev/null || {
    echo "not installed; shell scripts were not checked"
    return 0
  }
  git ls-files -co --exclude-standard -- '*.sh' .ci/run | xargs -r shellcheck
}

for check in gofmt vet staticcheck govulncheck shellcheck; do
  echo "lint: $check"
  "lint_$check" || failed+=("$check")
done
if [[ ${#failed[@]} -gt 0 ]]; then
  echo "lint: found by ${failed[*]}" >&2
  exit 1
fi
