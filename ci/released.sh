#!/usr/bin/env bash
# Prints the directory of every module that is released with a tag: all but
# those that only serve the scripts in ci.
set -euo pipefail
cd "$(dirname "$0")/.."

for module in $(ci/modules.sh); do
	case ${module#./} in
	ci/*) ;;
	*) echo "$module" ;;
	esac
done
