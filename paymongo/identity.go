package paymongo

import "github.com/midhook/midhook/internal/identity"

// IdempotencyKey names the event. It is the same for every delivery of the event, and
// no other event has it, whatever its gateway. It is 64 hexadecimal digits, made from
// [Event.ID] alone, and stays the same in later versions. With it in a unique
// index beside the effect, the effect happens once even when the handler runs
// twice.
func (e *Event) IdempotencyKey() string {
	return identity.Digest("paymongo", e.ID)
}
