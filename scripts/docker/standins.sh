#!/usr/bin/env bash
# Imports stand-ins for the two base images under the very names the Dockerfile
# uses, so that it is built here, without a registry, as users build it:
#
#   golang:1.26                                busybox, this machine's Go, and the
#                                              modules go.mod names as a file proxy
#   gcr.io/distroless/static-debian12:nonroot  certificates, zones, user 65532; no shell
#
# Needs DOCKER_HOST of engine.sh. Quick when nothing has changed.
set -euo pipefail
cd "$(dirname "$0")/../.."

builder=golang:1.26
runtime=gcr.io/distroless/static-debian12:nonroot

# What went into an image stands in its message, and is compared here.
stamp=$({
  go version
  cat go.mod go.sum scripts/docker/standins.sh
} | sha256sum | cut -c1-16)
current() { [ "$(docker image inspect -f '{{.Comment}}' "$1" 2>/dev/null)" = "sallyport $stamp" ]; }

if current "$builder" && current "$runtime"; then
  exit 0
fi

# Never in the place of a real one that somebody has pulled.
outdated=()
for image in "$builder" "$runtime"; do
  found=$(docker image inspect -f '{{.Id}} {{.Comment}}' "$image" 2>/dev/null) || continue
  case $found in
  *" sallyport "*) outdated+=("${found%% *}") ;;
  *)
    echo "standins: $image is there already and no stand-in; left as it is" >&2
    exit 1
    ;;
  esac
done

scratch=$(mktemp -d)
trap 'chmod -R u+w "$scratch"; rm -rf "$scratch"' EXIT

root=$scratch/builder
mkdir -p "$root"/{bin,usr/bin,usr/local,etc/ssl/certs,tmp,go/bin,root,var}
chmod 1777 "$root/tmp"
cp "$(command -v busybox)" "$root/bin/busybox"
for applet in $("$root/bin/busybox" --list); do
  [ "$applet" = busybox ] || ln -s busybox "$root/bin/$applet"
done
cp /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/"
# Only this module's needs, from what this machine has downloaded already.
GOFLAGS=-modcacherw GOMODCACHE=$scratch/modules GOPROXY="file://$(go env GOMODCACHE)/cache/download,$(go env GOPROXY)" go mod download
mv "$scratch/modules/cache/download" "$root/var/modules"
# The whole toolchain but its own tests; under /usr/local/go as in the real image.
goroot=$(go env GOROOT)
tar -C "$goroot" --exclude=./test --exclude=./pkg/obj -cf - . |
  tar -C "$scratch" -xf - --one-top-level="$root/usr/local/go"
tar -C "$root" -cf - . | docker import --message "sallyport $stamp" \
  --change 'ENV PATH=/go/bin:/usr/local/go/bin:/bin:/usr/bin' \
  --change 'ENV GOPATH=/go' \
  --change 'ENV GOTOOLCHAIN=local' \
  --change 'ENV GOPROXY=file:///var/modules' \
  --change 'ENV GOSUMDB=off' \
  --change 'WORKDIR /go' \
  - "$builder"

root=$scratch/runtime
mkdir -p "$root"/{etc/ssl/certs,home/nonroot,tmp,usr/share}
chmod 1777 "$root/tmp"
chmod 700 "$root/home/nonroot"
cp /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/"
[ ! -d /usr/share/zoneinfo ] || cp -a /usr/share/zoneinfo "$root/usr/share/"
printf 'root:x:0:0:root:/root:/sbin/nologin\nnonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin\n' >"$root/etc/passwd"
printf 'root:x:0:\nnonroot:x:65532:\n' >"$root/etc/group"
chown -R 65532:65532 "$root/home/nonroot"
tar -C "$root" -cf - . | docker import --message "sallyport $stamp" \
  --change 'ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' \
  --change 'ENV SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt' \
  --change 'USER 65532' \
  --change 'WORKDIR /home/nonroot' \
  - "$runtime"

# Those that an image was built from stay until it goes.
[ ${#outdated[@]} -eq 0 ] || docker image rm "${outdated[@]}" >/dev/null 2>&1 || true
