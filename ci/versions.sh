#!/usr/bin/env bash
# ci/versions.sh vX.Y.Z makes every module require the repository's others at
# that version; ci/versions.sh alone fails where one requires another than the
# last release. The replace directives stay: here each module is built with the
# others as they are.
set -euo pipefail
cd "$(dirname "$0")/.."
root=github.com/midhook/midhook

own_requirements() { # of the go.mod in $1: path and version
	go mod edit -json "$1" | tr -d '",' |
		awk -v root="$root" '/Require/ { inside = 1 } /^\t\]|Replace/ { inside = 0 }
			inside && $1 == "Path:" { path = $2 }
			inside && $1 == "Version:" && (path == root || index(path, root "/") == 1) { print path, $2 }'
}

if [ $# -eq 0 ]; then
	last=$(git tag --list 'v[0-9]*' --sort=-v:refname --merged HEAD | head -n 1)
	# Before the first release there is no version to require.
	wanted=${last:-v0.0.0}
	status=0
	for module in $(ci/modules.sh); do
		while read -r path version; do
			[ "$version" = "$wanted" ] || { echo "$module/go.mod requires $path $version, not $wanted" >&2; status=1; }
		done < <(own_requirements "$module/go.mod")
	done
	exit "$status"
fi

for module in $(ci/modules.sh); do
	own_requirements "$module/go.mod" | while read -r path _; do
		go mod edit -require="$path@$1" "$module/go.mod"
	done
	(cd "$module" && go mod tidy)
done
