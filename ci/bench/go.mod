// The program behind ci/bench.sh and ci/load.sh, in a module of its own so that nobody
// who uses midhook inherits it.
module github.com/midhook/midhook/ci/bench

go 1.26.0

require (
	github.com/jackc/pgx/v5 v5.13.0
	github.com/midhook/midhook v0.0.0
	github.com/midhook/midhook/ci/loadkit v0.0.0
	github.com/midhook/midhook/redisstore v0.0.0
	github.com/midhook/midhook/sqlstore v0.0.0
	github.com/redis/go-redis/v9 v9.23.0
	golang.org/x/time v0.16.0
)

require (
	github.com/cespare/xxhash/v2 v2.3.0 // indirect
	github.com/go-json-experiment/json v1.27.2 // indirect
	github.com/jackc/pgpassfile v1.0.0 // indirect
	github.com/jackc/pgservicefile v0.0.0-20240606120523-5a60cdf6a761 // indirect
	github.com/jackc/puddle/v2 v2.2.3 // indirect
	go.uber.org/atomic v1.12.0 // indirect
	golang.org/x/net v0.62.0 // indirect
	golang.org/x/sync v0.24.0 // indirect
	golang.org/x/sys v0.49.0 // indirect
	golang.org/x/text v0.43.0 // indirect
)

replace (
	github.com/midhook/midhook => ../../
	github.com/midhook/midhook/ci/loadkit => ../loadkit
	github.com/midhook/midhook/redisstore => ../../redisstore
	github.com/midhook/midhook/sqlstore => ../../sqlstore
)
