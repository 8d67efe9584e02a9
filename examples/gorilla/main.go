// Command gorilla receives Midtrans' notifications with gorilla/mux.
package main

import (
	"encoding/json"
	"log"
	"net/http"

	"github.com/gorilla/mux"

	"github.com/midhook/midhook"
	"github.com/midhook/midhook/examples/internal/demo"
)

func main() { demo.Main(demo.HTTP(routes)) }

// routes has no StrictSlash: it would answer a slash too many with a 301, which
// Midtrans takes as the end.
func routes(hook *midhook.Middleware) http.Handler {
	r := mux.NewRouter()
	payments := r.NewRoute().Subrouter()
	payments.Use(hook.Handler)
	payments.HandleFunc(demo.Path, notified).Methods(http.MethodPost)
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
