#!/usr/bin/env bash
# ci/verify-release.sh vX.Y.Z uses the modules as tagged here the way a stranger
# would: each of them alone in a new program, in a module cache in which nothing
# of midhook is, and then all of them together.
set -euo pipefail
cd "$(dirname "$0")/.."
repository=$(git rev-parse --path-format=absolute --git-common-dir)
version=$1
root=github.com/midhook/midhook

work=$(mktemp -d)
trap 'chmod -R u+w "$work"; rm -rf "$work"' EXIT

# Our own modules come from this repository by git, never from a proxy; all
# others as usual. -trimpath lets one build be used in every module cache.
export GIT_CONFIG_COUNT=2
export GIT_CONFIG_KEY_0="url.file://$repository.insteadOf" GIT_CONFIG_VALUE_0="https://$root"
export GIT_CONFIG_KEY_1=safe.directory GIT_CONFIG_VALUE_1='*'
export GOPRIVATE="$root,$root/*" GOFLAGS="-mod=mod -trimpath" GOWORK=off

# What others publish was downloaded before, and is served from there; it is
# fetched where it was not.
others=$(go env GOPROXY)
downloaded=$(go env GOMODCACHE)/cache/download
export GOPROXY="file://$downloaded,$others"

status=0
problem() { echo "  $*" >&2; status=1; }

# use makes a program that imports all packages of the modules, and builds it.
use() {
	local dir=$work/$1 module package packages
	shift
	mkdir -p "$dir/program"
	cd "$dir/program"
	export GOMODCACHE=$dir/cache
	go mod init example.com/program 2>/dev/null
	for module in "$@"; do
		go get "$module@$version" >"$dir/log" 2>&1 || { problem "go get $module@$version"; cat "$dir/log" >&2; return; }
	done
	local imports='' programs=''
	for module in "$@"; do
		packages=$(go list -f '{{.Name}} {{.ImportPath}} {{len .GoFiles}}' "$module/..." 2>"$dir/log") ||
			{ problem "listing the packages of $module"; cat "$dir/log" >&2; }
		while read -r name package files; do
			[ "${files:-0}" -gt 0 ] || continue
			case $name:$package in
			main:*) programs+=" $package" ;;
			*:*/internal | *:*/internal/*) ;;
			*) imports+="import _ \"$package\"\n" ;;
			esac
		done <<<"$packages"
	done
	printf "package main\n${imports}func main() {}\n" >main.go
	if [ -n "$programs" ]; then
		go build -o "$dir/programs/" $programs 2>"$dir/log" || { problem "building$programs"; cat "$dir/log" >&2; }
	fi
	if [ -n "$imports" ]; then # otherwise tidy would drop the module
		go mod tidy >"$dir/log" 2>&1 || { problem "go mod tidy with $*"; cat "$dir/log" >&2; return; }
	fi
	go build -o "$dir/binary" . 2>"$dir/log" || { problem "building a program that imports $*"; cat "$dir/log" >&2; }
	go mod verify >/dev/null || problem "go mod verify with $*"
	local wrong
	wrong=$(go list -m all | awk -v root="$root" -v version="$version" '($1 == root || index($1, root "/") == 1) && ($2 != version || NF > 2)')
	[ -z "$wrong" ] || problem "another version of ours is in the graph: $wrong"
	if go mod graph | grep -E "$root[^ ]*@v0\.0\.0(-|$| )" >&2; then problem 'v0.0.0 is in the graph'; fi
	echo "  builds; $(go list -m all | wc -l) modules in the graph"
}

modules=() failed=()
for directory in $(ci/released.sh); do
	directory=${directory#.}
	modules+=("$root$directory")
done

for module in "${modules[@]}"; do
	echo "-- $module@$version alone"
	(use "alone${module//\//_}" "$module"; exit "$status") || failed+=("$module")
	[ ! -d "$work/alone${module//\//_}" ] || { chmod -R u+w "$work/alone${module//\//_}"; rm -rf "$work/alone${module//\//_}"; }
done

echo '-- the command, installed'
if GOMODCACHE=$work/install GOBIN=$work/bin go install "$root/cmd/midhook@$version" && "$work/bin/midhook" demo >"$work/demo"; then
	echo '  midhook demo runs'
else
	failed+=("$root/cmd/midhook")
fi

echo '-- all of them together'
(use together "${modules[@]}"; exit "$status") || failed+=(together)

if [ ${#failed[@]} -gt 0 ]; then
	echo "not fit for a release: ${failed[*]}" >&2
	exit 1
fi
echo "all ${#modules[@]} modules of $version resolve and build from outside"
