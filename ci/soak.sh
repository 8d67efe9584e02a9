#!/usr/bin/env bash
# Ten minutes of forged and genuine notifications, slow bodies and peers that do not read, on loopback: -for 1m, -help.
set -euo pipefail
cd "$(dirname "$0")/.."

program=$(mktemp -d)
trap 'rm -rf "$program"' EXIT
go -C ci/soak build -o "$program/soak" .
"$program/soak" "$@"
