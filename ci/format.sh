#!/usr/bin/env bash
# Fails with the list of Go files that gofmt would change.
set -euo pipefail
cd "$(dirname "$0")/.."

unformatted=$(git ls-files -z -- '*.go' | xargs -0 gofmt -l)
if [ -n "$unformatted" ]; then
	printf 'not formatted, run gofmt -w on:\n%s\n' "$unformatted" >&2
	exit 1
fi
