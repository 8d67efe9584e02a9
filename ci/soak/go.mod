// The program behind ci/soak.sh, in a module of its own so that nobody who uses
// midhook inherits it.
module github.com/midhook/midhook/ci/soak

go 1.26.0

require (
	github.com/midhook/midhook v0.0.0
	github.com/midhook/midhook/ci/loadkit v0.0.0
	golang.org/x/net v0.62.0
)

require (
	github.com/go-json-experiment/json v1.27.2 // indirect
	golang.org/x/text v0.43.0 // indirect
	golang.org/x/time v0.16.0 // indirect
)

replace (
	github.com/midhook/midhook => ../../
	github.com/midhook/midhook/ci/loadkit => ../loadkit
)
