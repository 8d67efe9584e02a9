#!/usr/bin/env bash
# Compares every module's exported API with the last release's: what breaks
# users' code must be in CHANGELOG.md under "Changed" or "Removed". Before
# v1 a minor version may break; a patch version never does.
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD

last=$(git tag --list 'v[0-9]*' --sort=-v:refname --merged HEAD | head -n 1)
if [ -z "$last" ]; then
	echo 'apidiff skipped: nothing was released yet'
	exit 0
fi

apidiff() { go tool -modfile="$root/ci/tools/go.mod" apidiff "$@"; }

work=$(mktemp -d)
trap 'git worktree remove --force "$work/last" 2>/dev/null; rm -rf "$work"' EXIT
git worktree add --quiet --detach "$work/last" "$last"

broken=
for module in $(ci/released.sh); do
	case $module in ./examples* | */test | */example) continue ;; esac # nobody imports them
	[ -e "$work/last/$module/go.mod" ] || { echo "-- $module: new since $last"; continue; }
	echo "-- $module"
	path=$(cd "$module" && go list -m)
	(cd "$work/last/$module" && apidiff -m -w "$work/old" "$path")
	changes=$(cd "$module" && apidiff -m -incompatible "$work/old" "$path" | grep -v '^Ignoring internal package' || true)
	[ -z "$changes" ] || { printf '%s\n' "$changes"; broken=yes; }
done

[ -n "$broken" ] || { echo "compatible with $last"; exit 0; }
unreleased=$(awk '/^## /{ inside = /^## Unreleased/ } inside' CHANGELOG.md)
if ! grep -qE '^### (Changed|Removed)' <<<"$unreleased"; then
	echo "incompatible with $last, and CHANGELOG.md has neither Changed nor Removed under Unreleased" >&2
	exit 1
fi
echo "incompatible with $last, as CHANGELOG.md says"
