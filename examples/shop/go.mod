module github.com/midhook/midhook/examples/shop

go 1.26.0

require (
	github.com/jackc/pgx/v5 v5.13.0
	github.com/midhook/midhook v0.0.0
	github.com/midhook/midhook/sqlstore v0.0.0
	github.com/stretchr/testify v1.12.1
)

require (
	github.com/go-json-experiment/json v1.27.2 // indirect
	github.com/jackc/pgpassfile v1.0.0 // indirect
	github.com/jackc/pgservicefile v0.0.0-20240606120523-5a60cdf6a761 // indirect
	github.com/jackc/puddle/v2 v2.2.3 // indirect
	go.yaml.in/yaml/v3 v3.0.5 // indirect
	golang.org/x/sync v0.22.0 // indirect
	golang.org/x/text v0.41.0 // indirect
	golang.org/x/time v0.16.0 // indirect
)

// Until midhook has a released version: this repository's own.
replace (
	github.com/midhook/midhook => ../../
	github.com/midhook/midhook/sqlstore => ../../sqlstore
)
