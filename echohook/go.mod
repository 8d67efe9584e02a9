module github.com/midhook/midhook/echohook

go 1.26.0

require (
	github.com/labstack/echo/v5 v5.4.4
	github.com/midhook/midhook v0.0.0
)

require (
	github.com/go-json-experiment/json v1.27.2 // indirect
	golang.org/x/time v0.16.0 // indirect
)

// Until midhook has a released version: this repository's own.
replace github.com/midhook/midhook => ../
