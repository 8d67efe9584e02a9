// Package midhook receives Midtrans' payment notifications: net/http middleware
// around a merchant's own handler.
//
//	hook, err := midhook.New(os.Getenv("MIDTRANS_SERVER_KEY"))
//	if err != nil {
//		log.Fatal(err)
//	}
//	mux.Handle("POST /payments/notification", hook.HandlerFunc(
//		func(ctx context.Context, n *midhook.Notification) error {
//			if !n.Paid() {
//				return nil
//			}
//			return fulfil(ctx, n.OrderID) // once for each order; an error has Midtrans come again
//		}))
//
// Midtrans sends a notification whenever a payment changes. It sends the same one
// again after an answer that asks for it, sometimes twice for no reason, and
// sometimes out of order. The middleware
//
//   - verifies the signature of each, before anything else happens;
//   - hands an event on once, and lets through what only looks like a duplicate:
//     a second partial refund, a reversal, an accepted challenge;
//   - hands the events of one transaction on one after the other, and none that a
//     later one has made void;
//   - answers within five seconds, the budget, however long the handler takes;
//   - answers so that Midtrans' retry engine does what the merchant needs.
//
// # What is guaranteed
//
// At most one run at a time per event and store, a transaction's events one after
// the other as long as their handlers keep to budget and grace, and at least one
// successful run of each event (or of a later one that makes it void) as long as
// Midtrans retries.
//
// Not exactly once, as no middleware can: a process can die between the handler's
// effect and the mark that the event was handled. To fulfil once, be unique per
// order, or per [Notification.PaymentKey] where one order has several payments, in
// a unique index beside the effect. [Notification.IdempotencyKey] books an event
// once, and the capture and the settlement of one payment are two events that are
// both [Notification.Paid].
//
// A store that several processes share makes this hold for all of them. The default
// one is in the process's memory, see [WithStore].
//
// # What is not
//
// Midtrans signs order_id, status_code and gross_amount, nothing else and
// without a time. Whoever has seen one signed body can send it again, and can
// change its transaction_status to another of the same status_code: a
// cancellation into a settlement. [WithStatusCheck] asks Midtrans first, and
// [WithExpectation] compares the amount with the merchant's own record.
//
// Some notifications never come: [Middleware.Reconcile] asks for orders that stay
// pending. An order can have several transactions: the expire of an abandoned one
// comes after the order was paid by another. Refund amounts are cumulative, and an
// older one can come after a newer one.
//
// # Other senders
//
// Midtrans' payouts and subscriptions, Opn and PayMongo go through the same
// pipeline: packages payout, recurring, opn and paymongo are each a [Gateway] for
// [NewFor], and one for another sender is two methods.
//
// # The server around it
//
// The server's ReadTimeout and WriteTimeout must be longer than the budget, and TLS
// 1.2 must be accepted: Midtrans offers no later version. Nothing in front of the
// route may redirect: Midtrans takes a 301, 302 or 303 as the end, and the
// notification is lost. A ResponseWriter that outer middleware puts around the
// server's needs an Unwrap method, or the answer at the budget leaves late.
//
// More is at https://github.com/midhook/midhook/tree/main/docs.
package midhook
