#!/bin/sh
# Makes the simulator's figures of this tree the ones that changes are laid beside (placement/tests/figures.json). Commit the file with the
# change that moved them, and say why.
set -eu
cd "$(dirname "$0")/.."
STARLING_FIGURES_UPDATE=1 cargo test -p starling-placement --lib figures_beside_those_of_the_base
git --no-pager diff --stat -- placement/tests/figures.json
