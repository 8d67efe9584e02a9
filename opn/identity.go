package opn

import (
	"github.com/midhook/midhook"
	"github.com/midhook/midhook/internal/identity"
)

// IdempotencyKey is the same for every delivery of the event, for the events API's
// record of it, and in every version of this package: 64 hexadecimal digits, made
// of the id, that no other gateway's event has. Put it into a unique index beside
// the effect.
func (e *Event) IdempotencyKey() string {
	return identity.Digest("opn", e.ID)
}

// Message is what the pipeline is to know of e, for [midhook.Middleware.HandleMessage]
// and a gateway of one's own. It does not verify e.
func (e *Event) Message(keyLabel string) midhook.Message {
	return midhook.Message{Value: e, Key: e.IdempotencyKey(), KeyLabel: keyLabel}
}
