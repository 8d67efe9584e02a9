#!/usr/bin/env bash
# ci/bench.sh prints the table of ci/bench (a delivery beside the same by hand, beside the
# least that a receiver must do, and over a loopback socket), then runs every benchmark six
# times, those of ci/compare among them, for benchstat to sum up.
#   ci/bench.sh table -pairs 21           the table alone; arguments go to ci/bench
#   ci/bench.sh -bench Delivery -count 1  no table; arguments go to go test
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD
results=$(mktemp)
trap 'rm -f "$results"' EXIT

if [ $# -eq 0 ] || [ "$1" = table ]; then
	program=$(mktemp)
	trap 'rm -f "$results" "$program"' EXIT
	go build -C ci/bench -o "$program" .
	"$program" "${@:2}" # a program of its own, which starts itself as the server
	[ $# -eq 0 ] || exit 0
fi

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
