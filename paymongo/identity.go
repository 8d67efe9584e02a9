package paymongo

import "github.com/midhook/midhook/internal/identity"

// IdempotencyKey names the event: the same for every delivery of it, another for
// every other event, of whichever gateway. It is 64 hexadecimal digits, made from
// [Event.ID] alone, and stays the same in later versions. With it in a unique
// index beside the effect, the effect happens once even when the handler runs
// twice.
func (e *Event) IdempotencyKey() string {
	return identity.Digest("paymongo", e.ID)
}
