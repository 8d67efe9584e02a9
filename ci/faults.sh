#!/usr/bin/env bash
# Plays 100,000 histories with faults at every step of a delivery, half of them under a status check; HISTORIES says how many, other arguments go to go test: -rapid.seed 7.
set -euo pipefail
cd "$(dirname "$0")/.."

histories=${HISTORIES:-100000}
go test -count 1 -timeout 60m -run '^TestFaultsAtEveryStep$' . -rapid.checks $((histories / 2)) -rapid.nofailfile -rapid.shrinktime 2m "$@"
