// Command chi receives Midtrans' notifications with chi.
package main

import (
	"encoding/json"
	"log"
	"net/http"

	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"

	"github.com/midhook/midhook"
	"github.com/midhook/midhook/examples/internal/demo"
)

func main() { demo.Main(demo.HTTP(routes)) }

func routes(hook *midhook.Middleware) http.Handler {
	r := chi.NewRouter()
	r.Use(middleware.Logger, middleware.Recoverer)
	r.With(hook.Handler).Post(demo.Path, notified)
	return r
}

func notified(w http.ResponseWriter, r *http.Request) {
	n, _ := midhook.FromContext(r.Context())
	if n.Paid() {
		log.Printf("ship order %s", n.OrderID) // with n.IdempotencyKey() in a unique index
	}
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(map[string]any{"order": n.OrderID, "paid": n.Paid()}); err != nil {
		log.Print(err)
	}
}
