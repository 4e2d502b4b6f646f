#!/usr/bin/env bash
# A Docker engine of one's own in a scratch folder, beside any that the machine
# has: its own socket, data and process. Needs root and Debian's packages.
#
#   engine.sh start    installs what is missing, starts it, prints the environment to use it with
#   engine.sh env      prints that environment:  eval "$(scripts/docker/engine.sh env)"
#   engine.sh stop     ends it by its pid file
#   engine.sh clean    the same, and removes its images and layers
set -euo pipefail

dir=${SALLYPORT_ENGINE:-/tmp/sallyport-engine} # short: a socket's path is at most 107 bytes

say() { printf 'engine: %s\n' "$*" >&2; }

# Debian's client has BuildKit built in; another that comes first on PATH may
# have none.
print_env() {
  # shellcheck disable=SC2016 # $PATH is for the shell that evaluates it
  printf 'export DOCKER_HOST=unix://%s/docker.sock DOCKER_BUILDKIT=1 COMPOSE_DOCKER_CLI_BUILD=1 PATH=/usr/bin:"$PATH"\n' "$dir"
}

alive() {
  local pid
  pid=$(cat "$dir/pid" 2>/dev/null) && [ -n "$pid" ] && [ "$(cat "/proc/$pid/comm" 2>/dev/null)" = dockerd ]
}

answers() { /usr/bin/docker -H "unix://$dir/docker.sock" info >/dev/null 2>&1; }

install_packages() {
  local missing=()
  [ -x /usr/bin/docker ] && [ -x /usr/sbin/dockerd ] || missing+=(docker.io)
  [ -x /usr/bin/docker-compose ] || missing+=(docker-compose)
  [ -x /usr/sbin/iptables ] || missing+=(iptables)
  dpkg -s busybox-static >/dev/null 2>&1 || missing+=(busybox-static)
  command -v curl >/dev/null || missing+=(curl)
  [ ${#missing[@]} -eq 0 ] && return
  say "installing ${missing[*]}"
  apt-get update -q >&2
  DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "${missing[@]}" >&2
}

start() {
  if alive && answers; then
    print_env
    return
  fi
  [ "$(id -u)" = 0 ] || {
    say "needs root"
    exit 1
  }
  install_packages
  mkdir -p "$dir"
  rm -f "$dir/pid"
  PATH=$PATH:/usr/sbin:/sbin setsid dockerd --data-root "$dir/data" --exec-root "$dir/exec" \
    -H "unix://$dir/docker.sock" --pidfile "$dir/pid" >"$dir/log" 2>&1 </dev/null &
  for _ in $(seq 100); do
    if answers; then
      print_env
      return
    fi
    sleep 0.2
  done
  say "no answer after 20 s; the end of $dir/log:"
  tail -n 15 "$dir/log" >&2
  exit 1
}

stop() {
  alive || return 0
  local pid
  pid=$(cat "$dir/pid")
  kill "$pid"
  for _ in $(seq 150); do
    [ -e "/proc/$pid" ] || return 0
    sleep 0.2
  done
  say "process $pid has not ended after 30 s"
  return 1
}

case ${1:-} in
start) start ;;
env) print_env ;;
stop) stop ;;
clean)
  stop
  rm -rf "$dir"
  ;;
*)
  sed -n '2,9s/^# \{0,1\}//p' "$0" >&2
  exit 2
  ;;
esac
