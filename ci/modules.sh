#!/usr/bin/env bash
# Prints the directory of every module, relative to the repository.
set -euo pipefail
cd "$(dirname "$0")/.."

find . -mindepth 1 \( -name testdata -o -name node_modules -o -name '.*' \) -prune \
	-o -name go.mod -print | sed 's|/go\.mod$||' | LC_ALL=C sort
