// Package baseline is what midhook's benchmarks compare it with: what a competent
// developer writes without it, and the least that any receiver must do.
package baseline

import (
	"bytes"
	"context"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/midhook/midhook"
)

// Fields has a Notification's fields, without its methods.
type Fields midhook.Notification

// ByHand is what a competent developer writes with the standard library: the body
// limited, the signature compared, duplicates remembered, answered in time.
func ByHand(serverKey string, next http.Handler) http.Handler {
	type contextKey struct{}
	var mu sync.Mutex
	seen := map[string]bool{}
	receive := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 64<<10))
		if err != nil {
			http.Error(w, "body", http.StatusBadRequest)
			return
		}
		var n Fields
		if err := json.Unmarshal(body, &n); err != nil {
			http.Error(w, "json", http.StatusBadRequest)
			return
		}
		if !VerifyByHand(&n, serverKey) {
			http.Error(w, "signature", http.StatusForbidden)
			return
		}
		event := n.OrderID + "|" + string(n.TransactionStatus)
		mu.Lock()
		known := seen[event]
		seen[event] = true
		mu.Unlock()
		if !known {
			next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), contextKey{}, &n)))
		}
	})
	return http.TimeoutHandler(receive, 5*time.Second, "timeout")
}

// VerifyByHand compares the signature as most shops do.
func VerifyByHand(n *Fields, serverKey string) bool {
	sum := sha512.Sum512([]byte(n.OrderID + n.StatusCode + n.GrossAmount + serverKey))
	return hex.EncodeToString(sum[:]) == n.SignatureKey
}

// Floor is the least that a receiver of signed, unique notifications must do: read the
// body into a pooled buffer, scan it strictly for five fields, decode and compare the
// signature, look into one map under a mutex, and answer. It has no budget, no claim,
// no order of statuses and no log.
func Floor(serverKey string, next http.Handler) http.Handler {
	type scratch struct {
		body bytes.Buffer
		dec  jsontext.Decoder
	}
	pool := sync.Pool{New: func() any { return new(scratch) }}
	var mu sync.Mutex
	seen := map[[32]byte]struct{}{}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s := pool.Get().(*scratch)
		defer pool.Put(s)
		s.body.Reset()
		if _, err := s.body.ReadFrom(io.LimitReader(r.Body, 64<<10)); err != nil {
			w.WriteHeader(http.StatusRequestTimeout)
			return
		}
		body := s.body.Bytes()
		s.dec.Reset(bytes.NewBuffer(body))
		var order, code, amount, status, signature []byte
		if _, err := s.dec.ReadToken(); err != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		for s.dec.PeekKind() == jsontext.KindString {
			name, err := s.dec.ReadValue()
			if err != nil {
				w.WriteHeader(http.StatusBadRequest)
				return
			}
			var field *[]byte
			switch string(name) {
			case `"order_id"`:
				field = &order
			case `"status_code"`:
				field = &code
			case `"gross_amount"`:
				field = &amount
			case `"transaction_status"`:
				field = &status
			case `"signature_key"`:
				field = &signature
			}
			value, err := s.dec.ReadValue()
			if err != nil {
				w.WriteHeader(http.StatusBadRequest)
				return
			}
			if field != nil && len(value) >= 2 {
				*field = bytes.Clone(value[1 : len(value)-1])
			}
		}
		text := make([]byte, 0, 256)
		text = append(append(append(append(text, order...), code...), amount...), serverKey...)
		want := sha512.Sum512(text)
		var given [sha512.Size]byte
		if len(signature) != 2*len(given) {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		if _, err := hex.Decode(given[:], signature); err != nil || subtle.ConstantTimeCompare(given[:], want[:]) != 1 {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		var event [32]byte
		copy(event[:], want[:])
		copy(event[16:], status)
		mu.Lock()
		_, known := seen[event]
		seen[event] = struct{}{}
		mu.Unlock()
		if known {
			w.WriteHeader(http.StatusOK)
			return
		}
		next.ServeHTTP(w, r)
	})
}
