#!/bin/sh
# Makes the Dockerfile's base image where none can be pulled, from this machine's own package sources, so that
# binaries built here run in it: DOCKER_HOST=… scripts/base-image.sh
set -eu
cd "$(dirname "$0")/.."
image=$(sed -n 's/^FROM \(debian:[^ ]*\).*/\1/p' Dockerfile | head -n 1)
. /etc/os-release
sources=/etc/apt/sources.list.d/debian.sources
[ -f "$sources" ] || sources=/etc/apt/sources.list
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
mmdebstrap --quiet --variant=minbase --include=ca-certificates "$VERSION_CODENAME" "$folder/base.tar" "$sources"
docker import "$folder/base.tar" "$image" >/dev/null
echo "$image"
