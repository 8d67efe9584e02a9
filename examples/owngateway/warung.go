package main

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"log/slog"
	"net/http"

	"github.com/midhook/midhook"
)

// Paid is what Warung Pay posts when a customer has paid.
type Paid struct {
	ID     string `json:"id"`
	Order  string `json:"order"`
	Amount int64  `json:"amount"`
}

// LogValue is what the log and observers may show of it.
func (p *Paid) LogValue() slog.Value {
	return slog.GroupValue(slog.String("id", p.ID), slog.String("order", p.Order), slog.Int64("amount", p.Amount))
}

// warung is a gateway that midhook does not know. It signs the body in a header. The
// secret is where printing does not reach it: fmt shows no more of a function than its
// address.
type warung struct{ newMAC func() hash.Hash }

func newWarung(secret string) warung {
	return warung{func() hash.Hash { return hmac.New(sha256.New, []byte(secret)) }}
}

func (g warung) Open(header http.Header, body []byte) (midhook.Message, error) {
	mac := g.newMAC()
	mac.Write(body)
	signature, err := hex.DecodeString(header.Get("X-Warung-Signature"))
	if err != nil || !hmac.Equal(signature, mac.Sum(nil)) {
		return midhook.Message{}, midhook.ErrSignature
	}
	p := new(Paid)
	if err := json.Unmarshal(body, p); err != nil || p.ID == "" {
		return midhook.Message{}, fmt.Errorf("%w: an id is required", midhook.ErrMalformed)
	}
	return midhook.Message{Value: p, Key: "warung:" + p.ID}, nil
}

// Name is what log lines and metrics call the gateway.
func (warung) Name() string { return "warung" }

// Answer is what Warung Pay understands: it comes again after a 503.
func (warung) Answer(o midhook.Outcome) (status int, contentType, body string) {
	return midhook.PlainAnswer(o)
}

// receive is the merchant's handler.
func receive(secret string, ship func(context.Context, *Paid) error) (http.Handler, error) {
	if secret == "" {
		return nil, errors.New("warung: the secret is empty: anyone could sign with it")
	}
	hook, err := midhook.NewFor(newWarung(secret))
	if err != nil {
		return nil, err
	}
	return midhook.HandleValue(hook, ship), nil
}

// Interface guards: an optional method that is misspelt would be one that is missing.
var (
	_ midhook.Gateway = warung{}
	_ midhook.Named   = warung{}
	_ slog.LogValuer  = (*Paid)(nil)
)
