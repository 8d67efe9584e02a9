package midhook_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/midhook/midhook"
)

// Payment is what a sender posts that midhook does not know.
type Payment struct{ ID, Order string }

// PostPay is that sender. Its sign keeps the secret where printing does not reach it.
type PostPay struct{ sign func(body []byte) []byte }

func NewPostPay(secret string) PostPay {
	return PostPay{func(body []byte) []byte {
		mac := hmac.New(sha256.New, []byte(secret))
		mac.Write(body)
		return mac.Sum(nil)
	}}
}

func (p PostPay) Open(header http.Header, body []byte) (midhook.Message, error) {
	signature, err := hex.DecodeString(header.Get("X-Postpay-Signature"))
	if err != nil || !hmac.Equal(signature, p.sign(body)) {
		return midhook.Message{}, midhook.ErrSignature
	}
	payment := new(Payment)
	if err := json.Unmarshal(body, payment); err != nil || payment.ID == "" {
		return midhook.Message{}, fmt.Errorf("%w: an id is required", midhook.ErrMalformed)
	}
	return midhook.Message{Value: payment, Key: "postpay:" + payment.ID}, nil
}

func (PostPay) Answer(o midhook.Outcome) (status int, contentType, body string) {
	return midhook.PlainAnswer(o)
}

// A gateway of one's own: what makes a body authentic, which event it is, and what
// the sender wants to hear.
func ExampleNewFor() {
	postPay := NewPostPay("postpay-test-key-0001")
	hook, err := midhook.NewFor(postPay, midhook.WithLogger(slog.New(slog.DiscardHandler)))
	if err != nil {
		log.Fatal(err)
	}
	handler := midhook.HandleValue(hook, func(_ context.Context, p *Payment) error {
		fmt.Println("ship order", p.Order)
		return nil
	})

	body := `{"id":"1","order":"A-1001"}`
	for _, signature := range []string{
		"5e5d",
		hex.EncodeToString(postPay.sign([]byte(body))),
		hex.EncodeToString(postPay.sign([]byte(body))),
	} {
		r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body))
		r.Header.Set("X-Postpay-Signature", signature)
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		fmt.Print(w.Code, " ", w.Body)
	}
	// Output:
	// 403 signature does not match
	// ship order A-1001
	// 200 handled
	// 200 already handled
}
