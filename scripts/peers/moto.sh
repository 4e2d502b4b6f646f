#!/usr/bin/env bash
# Leaves a launcher of moto's server, a stand-in for AWS, in the cache folder of
# peers. Where this machine's python3 has moto 5 already, that is used; else pip
# installs it into a virtual environment there. The second time it only asks for
# the version.
set -euo pipefail

peers=${SALLYPORT_PEERS:-${XDG_CACHE_HOME:-$HOME/.cache}/sallyport-peers}
launcher=$peers/moto
stamp=$launcher.python

# version PYTHON prints the version of moto that PYTHON has, and fails unless it
# is one of 5 with what its server needs.
version() {
  "$1" - 2>/dev/null <<'PYTHON'
import importlib.metadata, importlib.util, sys
found = importlib.metadata.version("moto")
print(found)
sys.exit(not found.startswith("5.") or importlib.util.find_spec("flask") is None)
PYTHON
}

if [[ -x $launcher && -f $stamp && -x $(<"$stamp") ]] && version "$(<"$stamp")" >/dev/null; then
  exit 0
fi

command -v python3 >/dev/null || {
  echo "moto.sh: there is no python3 on this machine, and moto needs it" >&2
  exit 1
}
mkdir -p "$peers"
venv=
if version python3 >/dev/null && python3 -c 'import moto.server' 2>/dev/null; then
  python=$(python3 -c 'import sys; print(sys.executable)')
  echo "moto $(version "$python") of this machine's python3 is used" >&2
else
  venv=$(mktemp -d "$peers/moto-venv.XXXXXX")
  trap '[[ -z $venv ]] || rm -rf "$venv"' EXIT
  echo "installing moto 5 into $venv (about a minute)" >&2
  python=$venv/bin/python3
  if ! python3 -m venv "$venv" ||
    ! "$python" -m pip install --quiet --disable-pip-version-check 'moto[server]==5.*' ||
    ! "$python" -c 'import moto.server'; then
    echo "moto.sh: moto 5 is not on this machine and could not be installed; see above for why" >&2
    exit 1
  fi
fi

work=$(mktemp "$peers/.moto.XXXXXX")
{
  echo '#!/bin/sh'
  echo '# Made by scripts/peers/moto.sh.'
  printf 'exec %s -m moto.server "$@"\n' "$(printf '%s' "$python" | sed "s/'/'\\\\''/g; s/^/'/; s/\$/'/")"
} >"$work"
chmod 0755 "$work"
# Two at once are harmless: each moves a whole file into place.
mv -f "$work" "$launcher"
printf '%s\n' "$python" >"$work"
mv -f "$work" "$stamp"
venv=
