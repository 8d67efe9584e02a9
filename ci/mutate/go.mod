// Mutation testing of the packages whose mistakes cost money, in a module of its own.
module github.com/midhook/midhook/ci/mutate

go 1.26.0
