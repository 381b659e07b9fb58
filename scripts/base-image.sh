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
# As the official image: nothing is synced to disk package by package, and there are no manuals. The Dockerfile's own packages
# are installed by the same rules.
mmdebstrap --quiet --variant=minbase --include=ca-certificates \
    --aptopt='Acquire::Languages "none"' --dpkgopt=force-unsafe-io \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
    --dpkgopt='path-exclude=/usr/share/locale/*' "$VERSION_CODENAME" "$folder/base.tar" "$sources"
docker import "$folder/base.tar" "$image" >/dev/null
echo "$image"
