// Package payout receives the notifications of Midtrans' payouts (Iris): what has
// become of a disbursement, and that the balance was topped up. They are signed
// by a key and a formula of their own and come to a URL of their own.
//
//	gateway, err := payout.New(os.Getenv("MIDTRANS_IRIS_KEY"))
//	if err != nil {
//		log.Fatal(err)
//	}
//	hook, err := midhook.NewFor(gateway)
//	if err != nil {
//		log.Fatal(err)
//	}
//	mux.Handle("POST /payouts/notification", midhook.HandleValue(hook,
//		func(ctx context.Context, n *payout.Notification) error {
//			switch n.Status {
//			case payout.StatusCompleted:
//				return markPaid(ctx, n.ReferenceNo, n.UpdatedAt)
//			case payout.StatusFailed, payout.StatusRejected:
//				return markReturned(ctx, n.ReferenceNo, n.UpdatedAt)
//			}
//			return nil
//		}))
//
// What [midhook.NewFor] guarantees holds: verified, one run at a time, at
// least one that succeeds, answered within the budget.
//
// # No status is the last
//
// A completed payout fails when the bank returns the money, which happens with
// SKN, RTGS and BI Fast. (Midtrans, "Notification Payload") So completed and failed
// are both handed on, in whatever order they come: book the money back on failed
// even where you have booked it as paid. They can come in disorder, too: compare
// UpdatedAt, or ask Midtrans' Payout Details API, before a completed that follows a
// failed counts.
//
// An approved or a processed that comes after a later status was handled is
// superseded: acknowledged and not handed on, see [midhook.WithSuperseded].
//
// # What the signature does not do
//
// It covers every byte of the body, but it is a hash with the key at its end, not
// an HMAC, and it has no time: whoever has seen one signed request can send it
// again for as long as the key lives. The store recognises it for as long as
// [midhook.WithKeep] says, and after that only a unique index over
// [Notification.IdempotencyKey] does.
//
// # What is not known
//
// Midtrans documents the retries of its payment notifications, not those of
// payouts. They are taken to be the same, see [midhook.PlainAnswer]; should they be
// fewer, the Payout Details API tells what was lost.
package payout
