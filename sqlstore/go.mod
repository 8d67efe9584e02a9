module github.com/midhook/midhook/sqlstore

go 1.26.0

require github.com/midhook/midhook v0.0.0

require (
	github.com/go-json-experiment/json v1.27.2 // indirect
	golang.org/x/time v0.16.0 // indirect
)

// Both are developed, tested and released together from one repository, and
// v0.0.0 stands for the same commit. A replace counts in this module alone: a
// release requires midhook by its version.
replace github.com/midhook/midhook => ../
