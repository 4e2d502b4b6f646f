#!/usr/bin/env bash
# Builds the image and runs docker-compose.yml as a user would, on a Docker
# engine of its own with stand-ins for the base images (engine.sh, standins.sh).
#
#   scripts/docker/e2e.sh                with Compose 1.29 of Debian
#   COMPOSE=both scripts/docker/e2e.sh   and with Compose 2, built by compose2.sh the first time
#   E2E_ENGINE=host scripts/docker/e2e.sh   on the engine that `docker` speaks to, with the real base images
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit
here=scripts/docker

image=sallyport
project=sallyport-e2e
failures=0
scratch=$(mktemp -d)

compose() { "${compose_command[@]}" -p "$project" -f docker-compose.yml -f "$scratch/ports.yml" "$@"; }

cleanup() {
  [[ -z ${compose_command:-} ]] || compose down --volumes --timeout 5 >/dev/null 2>&1
  [[ ${E2E_ENGINE:-} = host || -n ${KEEP_ENGINE:-} ]] || "$here/engine.sh" stop
  rm -rf "$scratch"
}
trap cleanup EXIT

die() {
  echo "e2e: $*" >&2
  exit 1
}

# is FACT WANT GOT compares; has FACT TEXT OUTPUT looks for TEXT in OUTPUT.
is() {
  if [[ $2 == "$3" ]]; then
    echo "  ok    $1"
  else
    echo "  FAIL  $1: want $2, got $3"
    failures=$((failures + 1))
  fi
}
has() {
  if [[ $3 == *"$2"* ]]; then
    echo "  ok    $1"
  else
    echo "  FAIL  $1: no $2 in: $3"
    failures=$((failures + 1))
  fi
}
hasnt() {
  if [[ $3 != *"$2"* ]]; then
    echo "  ok    $1"
  else
    echo "  FAIL  $1"
    failures=$((failures + 1))
  fi
}

# ask ARGUMENTS… sets status, head and body of the answer.
ask() {
  status=$(curl -s -m 10 -o "$scratch/body" -D "$scratch/head" -w '%{http_code}' "$@")
  head=$(tr -d '\r' <"$scratch/head" 2>/dev/null)
  body=$(cat "$scratch/body" 2>/dev/null)
}

token() { # token SCOPE
  curl -s -m 10 -u demo:demo-secret -d grant_type=client_credentials -d "scope=$1" "http://$issuer/token" |
    sed -n 's/.*"access_token": *"\([^"]*\)".*/\1/p'
}

address() { compose port "$1" "$2" | tr -d '\r'; }
state() { docker inspect -f "{{$2}}" "$(compose ps -q "$1")"; }

await_healthy() {
  local service=$1 deadline=$((SECONDS + 60))
  until [[ $(state "$service" .State.Health.Status 2>/dev/null) = healthy ]]; do
    if [[ $SECONDS -ge $deadline ]]; then
      compose logs --no-color "$service" | tail -n 30
      state "$service" 'json .State.Health'
      return 1
    fi
    sleep 0.3
  done
}

# The image by itself, with nothing but its environment.
image_alone() {
  echo "the image"
  is "runs as nonroot" 65532 "$(docker image inspect -f '{{.Config.User}}' "$image" | sed 's/^nonroot$/65532/; s/:.*//')"
  is "has no shell" 127 "$(docker run --rm --entrypoint /bin/sh "$image" -c true >/dev/null 2>&1; echo $?)"
  has "knows its version" "$version" "$(docker run --rm --read-only --cap-drop ALL "$image" version 2>&1)"

  local out code
  out=$(docker run --rm -e UPSTREAM_URL=http://127.0.0.1:8081 -e JWT_ISSUER=http://issuer.example -e JWT_AUDIENCE=orders-api "$image" 2>&1)
  code=$?
  is "neither JWT_JWKS_URL nor JWT_SECRET_PATH: exit status" 1 "$code"
  has "neither of them: names the one" JWT_JWKS_URL "$out"
  has "neither of them: names the other" JWT_SECRET_PATH "$out"
  out=$(docker run --rm -e JWT_ISSUER=http://issuer.example -e JWT_AUDIENCE=orders-api -e JWT_JWKS_URL=https://issuer.example/jwks "$image" 2>&1)
  code=$?
  is "no UPSTREAM_URL: exit status" 1 "$code"
  has "no UPSTREAM_URL: names it" UPSTREAM_URL "$out"
}

composed() {
  echo "docker-compose.yml, ${compose_command[*]}"
  # With letters that are in no log by chance.
  LEGACY_API_KEY=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
  export LEGACY_API_KEY

  compose up --detach --no-build >"$scratch/up" 2>&1 || {
    cat "$scratch/up"
    compose logs --no-color | tail -n 40
    die "compose up failed"
  }
  await_healthy gateway || die "the gateway never became healthy"
  is "gateway is healthy by the image's HEALTHCHECK" healthy "$(state gateway .State.Health.Status)"
  is "its process is nonroot's" 65532 "$(docker top "$(compose ps -q gateway)" -eo pid,uid | awk 'NR == 2 {print $2}')"

  local gateway legacy reader other
  gateway=$(address gateway 8080)
  legacy=$(address legacy 8081)
  issuer=$(address issuer 8082)
  reader=$(token orders:read)
  other=$(token crm:read)
  [[ -n $reader && -n $other ]] || die "the issuer gives no tokens"

  ask "http://$legacy/orders/1"
  is "the API takes no call without its key" 401 "$status"
  ask "http://$gateway/orders/1"
  is "no token" 401 "$status"
  has "no token: challenge" 'Bearer realm=' "$head"
  has "no token: problem" application/problem+json "$head"
  ask -H "Authorization: Bearer $reader.x" "http://$gateway/orders/1"
  is "a broken token" 401 "$status"
  has "a broken token: challenge" 'error="invalid_token"' "$head"
  ask -H "Authorization: Bearer $other" "http://$gateway/orders/1"
  is "a token without the scope" 403 "$status"
  has "a token without the scope: challenge" 'error="insufficient_scope"' "$head"
  ask -H "Authorization: Bearer $reader" -H 'X-Legacy-Key: mine' "http://$gateway/orders/1"
  is "a good token" 200 "$status"
  has "the API saw the injected key" "\"last4\":\"${LEGACY_API_KEY: -4}\"" "${body// /}"
  has "and nothing of the caller's" '"caller_credential_seen":false' "${body// /}"
  ask -H "Authorization: Bearer $reader" "http://$legacy/orders/1"
  is "the API itself takes no such token" 401 "$status"

  # An event stream of a second is under way when SIGTERM comes.
  local start container logs
  curl -sN -m 20 -H "Authorization: Bearer $reader" "http://$gateway/orders/stream" >"$scratch/stream" &
  local stream=$!
  until grep -qs '^data:' "$scratch/stream" || ! kill -0 "$stream" 2>/dev/null; do sleep 0.05; done
  start=$SECONDS
  container=$(compose ps -q gateway)
  compose stop gateway >/dev/null 2>&1
  is "SIGTERM: ends within its grace of 35 s" yes "$([[ $((SECONDS - start)) -lt 35 ]] && echo yes || echo "$((SECONDS - start)) s")"
  echo "        (it took $((SECONDS - start)) s)"
  is "SIGTERM: exit status" 0 "$(docker inspect -f '{{.State.ExitCode}}' "$container")"
  wait "$stream"
  is "SIGTERM: the stream under way is finished" "0, 5 events" "$?, $(grep -c '^data:' "$scratch/stream") events"

  logs=$(compose logs --no-color 2>&1)
  has "the gateway logs its requests" '"status":403' "$logs"
  hasnt "no log holds the injected key" "$LEGACY_API_KEY" "$logs"
  hasnt "no log holds a caller's token" "$reader" "$logs"
  [[ $failures -eq 0 ]] || tail -n 40 <<<"$logs"

  compose down --timeout 10 >/dev/null 2>&1
  is "compose down leaves nothing" "" "$(docker ps -aq --filter "label=com.docker.compose.project=$project")"
}

if [[ ${E2E_ENGINE:-} != host ]]; then
  environment=$("$here/engine.sh" start) || die "no engine"
  eval "$environment"
  "$here/standins.sh" >/dev/null || die "no stand-ins"
fi

if [[ ${E2E_ENGINE:-} = host ]] && docker compose version >/dev/null 2>&1; then
  composes=("docker compose")
else
  composes=(docker-compose)
fi
if [[ ${COMPOSE:-} = both ]]; then
  second=$("$here/compose2.sh") || die "Compose 2 was not built"
  composes+=("$second")
fi

# In the test the ports are any free ones, and the API can be reached past the gateway.
export GATEWAY_PORT=0 ISSUER_PORT=0
printf 'services:\n  legacy:\n    ports: ["127.0.0.1:0:8081"]\n' >"$scratch/ports.yml"

version=e2e-$(git rev-parse --short HEAD 2>/dev/null || echo none)
for words in "${composes[@]}"; do
  read -ra compose_command <<<"$words"
  echo "building with ${compose_command[*]}"
  start=$SECONDS
  compose build --build-arg VERSION="$version" >"$scratch/build" 2>&1 || {
    tail -n 40 "$scratch/build"
    die "the image was not built"
  }
  echo "  ok    built in $((SECONDS - start)) s, $(($(docker image inspect -f '{{.Size}}' "$image") / 1048576)) MiB with its base"
  image_alone
  composed
done

if [[ $failures -gt 0 ]]; then
  echo "e2e: $failures failed" >&2
  exit 1
fi
echo "e2e: all as it should be"
