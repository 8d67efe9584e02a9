// Command nethttp receives Midtrans' notifications with net/http alone.
package main

import (
	"encoding/json"
	"log"
	"net/http"

	"github.com/midhook/midhook"
	"github.com/midhook/midhook/examples/internal/demo"
)

func main() { demo.Main(demo.HTTP(routes)) }

func routes(hook *midhook.Middleware) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("POST "+demo.Path, hook.Handler(http.HandlerFunc(notified)))
	return mux
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
