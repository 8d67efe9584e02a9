// Package expose lets midhooktest look at what midhook does not export.
package expose

// Gateway returns the midhook.Gateway of a *midhook.Middleware. Package midhook sets
// it.
var Gateway func(middleware any) any
