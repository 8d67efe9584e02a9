#!/usr/bin/env bash
# Vets every module: go.mod, go vet, staticcheck, vulnerabilities (GOVULNDB: a mirror of their database).
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD

tool() { go tool -modfile="$root/ci/tools/go.mod" "$@"; }
govulncheck() { tool govulncheck ${GOVULNDB:+-db="$GOVULNDB"} "$@"; }

status=0
check() {
	"$@" || { echo "failed in $module: $*" >&2; status=1; }
}

database=$(govulncheck -version)
reachable=yes
if ! grep -q '^DB updated:' <<<"$database"; then
	reachable=
	echo 'govulncheck skipped: its database cannot be reached from here'
fi

module=ci
check ci/versions.sh

modules=$(ci/modules.sh)
for module in $modules; do
	echo "-- $module"
	cd "$root/$module"
	check go mod tidy -diff
	packages=$(go list -e ./...)
	[ -n "$packages" ] || continue
	check go vet ./...
	check tool staticcheck ./...
	[ -z "$reachable" ] || check govulncheck ./...
done
exit "$status"
