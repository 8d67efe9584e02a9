#!/usr/bin/env bash
# Plays 100,000 histories with faults at every step of a delivery, half of them under a status check, and then 2,000 on Redis, PostgreSQL, MariaDB and SQLite with real servers, networks and processes; HISTORIES and STORE_HISTORIES say how many, other arguments go to go test: -rapid.seed 7.
set -euo pipefail
cd "$(dirname "$0")/.."

histories=${HISTORIES:-100000}
on_stores=${STORE_HISTORIES:-$((histories / 50))}
stores=4 lanes=4

if [ "$histories" -gt 0 ]; then
	go test -count 1 -timeout 60m -run '^TestFaultsAtEveryStep$' . -rapid.checks $((histories / 2)) -rapid.nofailfile -rapid.shrinktime 2m "$@"
fi
if [ "$on_stores" -gt 0 ]; then
	go -C ci/histories test -count 1 -timeout 180m -parallel $((2 * lanes)) -v -run '^(TestFaultHistories|TestLinearizable)$' . \
		-lanes "$lanes" -rapid.checks $(((on_stores + stores * lanes - 1) / (stores * lanes))) -rapid.nofailfile -rapid.shrinktime 2m "$@"
fi
