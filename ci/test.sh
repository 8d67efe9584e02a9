#!/usr/bin/env bash
# Tests every module (arguments go to go test), then fuzzes each target for FUZZTIME: 5s, or 0 for not at all.
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD
fuzztime=${FUZZTIME:-5s}

status=0
check() {
	"$@" || { echo "failed in $module: $*" >&2; status=1; }
}

modules=$(ci/modules.sh)
for module in $modules; do
	cd "$root/$module"
	packages=$(go list -e ./...)
	[ -n "$packages" ] || continue
	echo "-- $module"
	check go test -race "$@" ./...

	case $fuzztime in 0 | 0s) continue ;; esac # go test would fuzz without end
	for package in $packages; do
		if ! list=$(go test -list '^Fuzz' "$package"); then
			echo "$list"
			echo "failed in $module: go test -list ^Fuzz $package" >&2
			status=1
			continue
		fi
		for target in $(grep '^Fuzz' <<<"$list"); do
			check go test -run '^$' -fuzz "^$target\$" -fuzztime "$fuzztime" -fuzzminimizetime 1s "$package"
		done
	done
done
exit "$status"
