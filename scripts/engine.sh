#!/bin/sh
# A Docker engine for tests, apart from any other one: scripts/engine.sh FOLDER
# Runs dockerd in the foreground with all its files in FOLDER (socket: FOLDER/docker.sock) until SIGTERM. Needs root.
set -eu
folder=$1
exec dockerd --data-root "$folder/data" --exec-root "$folder/exec" --pidfile "$folder/pid" \
    --host "unix://$folder/docker.sock" --bridge none
