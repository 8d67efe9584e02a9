#!/usr/bin/env bash
# A server with midhook under load, by connections, requests, stores and what it remembers, and in a burst: -for 200ms, -only stores, -help.
set -euo pipefail
cd "$(dirname "$0")/.."

program=$(mktemp -d)
trap 'rm -rf "$program"' EXIT
go -C ci/bench build -o "$program/bench" .
"$program/bench" -load "$@"
