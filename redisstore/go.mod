module github.com/midhook/midhook/redisstore

go 1.26.0

require (
	github.com/midhook/midhook v0.0.0
	github.com/redis/go-redis/v9 v9.23.0
	github.com/stretchr/testify v1.12.1
)

require (
	github.com/cespare/xxhash/v2 v2.3.0 // indirect
	github.com/go-json-experiment/json v1.27.2 // indirect
	go.uber.org/atomic v1.12.0 // indirect
	go.yaml.in/yaml/v3 v3.0.5 // indirect
	golang.org/x/sys v0.48.0 // indirect
	golang.org/x/time v0.16.0 // indirect
)

// Both are developed, tested and released together from one repository, and
// v0.0.0 stands for the same commit. A replace counts in this module alone: a
// release requires midhook by its version.
replace github.com/midhook/midhook => ../
