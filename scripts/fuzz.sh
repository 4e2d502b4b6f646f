#!/usr/bin/env bash
# Runs every fuzz target of the module for a while:  scripts/fuzz.sh [TIME=10s] [PACKAGES=./...]
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit

time=${1:-10s}
packages=${2:-./...}
failed=()

# `go test -list` prints a package's targets, then the package.
listed=$(go test -list '^Fuzz' "$packages") || {
  echo "$listed"
  echo "fuzz: the tests don't build" >&2
  exit 1
}
targets=$(awk '/^Fuzz/ {names = names " " $1} /^ok/ {n = split(names, t, " "); for (i = 1; i <= n; i++) print $2, t[i]; names = ""}' <<<"$listed")

log=$(mktemp)
trap 'rm -f "$log"' EXIT
run() { go test -run '^$' -fuzz "^$2\$" -fuzztime "$time" "$1" >"$log" 2>&1; }

while read -r package target; do
  [[ -n $target ]] || continue
  echo "fuzz: $package $target"
  run "$package" "$target" && continue
  # The fuzzer may take the end of its own time for a failure, without an
  # input that fails (go.dev/issue/48591): then once more.
  if grep -q 'context deadline exceeded' "$log" && ! grep -q 'Failing input written' "$log" && run "$package" "$target"; then
    continue
  fi
  cat "$log"
  failed+=("$target")
done <<<"$targets"

if [[ ${#failed[@]} -gt 0 ]]; then
  echo "fuzz: failed: ${failed[*]}" >&2
  exit 1
fi
