// What ci/soak and ci/bench share, in a module of its own so that nobody who uses
// midhook inherits it.
module github.com/midhook/midhook/ci/loadkit

go 1.26.0

require golang.org/x/net v0.62.0

require golang.org/x/text v0.43.0 // indirect
