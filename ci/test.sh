#!/usr/bin/env bash
# Runs the quick tests of every module, one line a package; --help lists the flags, .ci/run runs everything.
set -euo pipefail
cd "$(dirname "$0")/.."

runner=$(mktemp -d)
trap 'rm -rf "$runner"' EXIT
go -C ci/tools build -o "$runner/runtests" ./runtests
"$runner/runtests" "$@"
