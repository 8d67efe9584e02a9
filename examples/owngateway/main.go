// Command owngateway receives the webhooks of a gateway that midhook does not know:
// warung.go is all that it takes, and its test runs the suite that midhook's own
// gateways pass.
package main

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"flag"
	"fmt"
	"log"
	"net/http"
	"time"
)

const testSecret = "warung-test"

func main() {
	addr := flag.String("addr", "127.0.0.1:8080", "listen on this address")
	flag.Parse()
	handler, err := receive(testSecret, func(_ context.Context, p *Paid) error {
		log.Printf("ship order %s", p.Order)
		return nil
	})
	if err != nil {
		log.Fatal(err)
	}
	body := []byte(`{"id":"1","order":"A-1","amount":25000}`)
	fmt.Printf("Receiving notifications at http://%[1]s\n\ncurl -i -H 'X-Warung-Signature: %[2]s' -d '%[3]s' http://%[1]s\n\n",
		*addr, sign(body, testSecret), body)
	server := &http.Server{
		Addr:              *addr,
		Handler:           handler,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      15 * time.Second,
	}
	log.Fatal(server.ListenAndServe())
}

// sign is Warung Pay's side of it.
func sign(body []byte, secret string) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write(body)
	return hex.EncodeToString(mac.Sum(nil))
}
