#!/usr/bin/env bash
# Changes one operator or statement after the other of everything whose mistakes cost money, and prints the changes that no test notices; needs Redis and PostgreSQL, and hours. Arguments choose parts: ci/mutate.sh claims writer redisstore.
set -euo pipefail
cd "$(dirname "$0")/.."

bin=$(mktemp -d)
trap 'rm -rf "$bin"' EXIT
go -C ci/mutate build -o "$bin/mutate" .

chosen=" $* "
survived=0

# part runs mutate, if the part of that name is chosen.
part() {
	local name=$1
	shift
	[[ $chosen == "  " || $chosen == *" $name "* ]] || return 0
	echo "== $name"
	"$bin/mutate" "$@" || survived=1
}

slow='TestStorm|TestLRUStore|TestStrangersWithAZeroWindow|TestStatusErrors|TestHugeBody'
for file in verify identity confirm claims writer dedupe lrustore body delivery handlercontext; do
	part "$file" -package . -timeout 60s -slow "$slow" "$file.go"
done
for gateway in payout opn paymongo recurring; do
	part "$gateway" -package "$gateway" $(cd "$gateway" && ls ./*.go | grep -v _test.go)
done
part slab -package internal/slab slab.go

# The tests of single rules come first, then the contract.
rules='TestContract$|AnswersLike|Hold|TestMove|Alternates|NamesStay|Expiry|ReleaseLeaves|LargeStages|EventUnder|ExpiredEvents|Stored|Calls|FullServer|ForeignData|RoundTrips|NewErrors|TestPrefix|Check'
part redisstore -package redisstore -short=false -run "$rules" -slow 'TestContract$|AnswersLike' redisstore.go scripts.go check.go

part sqlstore -package sqlstore -tests sqlstore -tests sqlstore/test -slow 'TestContract$' transactions.go store.go finishtx.go optimistic.go contention.go purge.go

# MariaDB's own ways through optimistic.go, and PostgreSQL's.
calls='TestEachFailed|Migrate|Schema|Check|TestNewRefuses|TestCommitWhileFinishLooks|TestFinishAfterARelease|TestFinishTxUncommitted|TestFinishTxRemembers|TestUncommittedOf|TestCallsOf|TestPurgesByItself|TestPgxTx|TestStatements'
part mariadb -package sqlstore -tests sqlstore -tests sqlstore/test -short=false -timeout 150s \
	-run "$calls" -slow 'TestOperationsBetweenTheCallsOfAnother|TestPurge' transactions.go store.go finishtx.go optimistic.go migrate.go schema.go options.go
part postgres -package sqlstore -tests sqlstore/test -short=false -timeout 150s \
	-run "$calls|TestOperationsBetweenTheCallsOfAnother/PostgreSQL|TestPurge/PostgreSQL" -slow 'TestContract$/PostgreSQL' postgres.go

exit "$survived"
