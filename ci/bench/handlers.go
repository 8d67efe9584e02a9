package main

import (
	"context"
	"log/slog"
	"net/http"

	"github.com/midhook/midhook"
	"github.com/midhook/midhook/internal/baseline"
)

const key = "SB-Mid-server-test-key-0001"

// handlers are what is compared, by name.
var handlers = map[string]func(next http.Handler) http.Handler{
	"empty":   func(next http.Handler) http.Handler { return next },
	"midhook": func(next http.Handler) http.Handler { return newHook().Handler(next) },
	"by hand": func(next http.Handler) http.Handler { return baseline.ByHand(key, next) },
	"floor":   func(next http.Handler) http.Handler { return baseline.Floor(key, next) },
}

// newHook has its log off.
func newHook(opts ...midhook.Option) *midhook.Middleware {
	hook, err := midhook.New(key, append(opts, midhook.WithLogger(slog.New(slog.DiscardHandler)))...)
	fatal(err)
	return hook
}

// merchant is a handler that does nothing, as fast as it can.
var merchant = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) })

// merchantWithContext asks for the end of its context, as a handler does that calls a
// database.
var merchantWithContext = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	_ = ctx.Done()
	w.WriteHeader(http.StatusOK)
})
