#!/usr/bin/env bash
# Runs every benchmark six times, for benchstat to sum up; arguments go to go test: -bench Delivery -count 1.
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD
results=$(mktemp)
trap 'rm -f "$results"' EXIT

modules=$(ci/modules.sh)
for module in $modules; do
	cd "$root/$module"
	packages=$(go list -e ./...)
	[ -n "$packages" ] || continue
	go test -run '^$' -bench . -benchmem -count 6 "$@" ./... | tee -a "$results"
done

if awk '/^Benchmark/ && seen[$1]++ { several = 1 } END { exit !several }' "$results"; then
	echo
	go tool -modfile="$root/ci/tools/go.mod" benchstat results="$results"
fi
