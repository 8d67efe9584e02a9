// Package midhook receives Midtrans' payment notifications: net/http middleware
// around a merchant's own handler.
//
//	hook, err := midhook.New(os.Getenv("MIDTRANS_SERVER_KEY"))
//	if err != nil {
//		log.Fatal(err)
//	}
//	mux.Handle("POST /payments/notification", hook.Handler(http.HandlerFunc(
//		func(w http.ResponseWriter, r *http.Request) {
//			n, _ := midhook.FromContext(r.Context())
//			if n.Paid() {
//				fulfil(r.Context(), n.OrderID)
//			}
//		})))
//
// Midtrans sends a notification whenever a payment changes, sends it again when
// the answer is not to its liking, sometimes twice and sometimes out of order.
// The middleware
//
//   - verifies the signature of each, before anything else happens;
//   - answers within five seconds, however long the handler takes;
//   - hands an event on once, and lets through what only looks like a duplicate:
//     a second partial refund, a reversal, an accepted challenge;
//   - answers so that Midtrans' retry engine does what the merchant needs.
//
// # What is guaranteed
//
// At most one run at a time per event and store, at least one successful run as
// long as Midtrans retries. Not exactly once, which no middleware can promise:
// a process can die between the handler's effect and the mark that it happened.
// Put [Notification.IdempotencyKey] into a unique index beside the effect.
//
// A store that several machines share makes this hold for all of them; the
// default one is in the process's memory, see [WithStore].
//
// # What is not
//
// Midtrans signs order_id, status_code and gross_amount, nothing else and
// without a time. Whoever has seen one signed body can send it again, and can
// change its transaction_status to another of the same status_code: a
// cancellation into a settlement. [WithStatusCheck] asks Midtrans first,
// [WithExpectation] compares the amount with the merchant's own record, and
// [Middleware.Reconcile] asks for what was never notified.
//
// # Other senders
//
// Midtrans' payouts and subscriptions, Opn and PayMongo go through the same
// pipeline: packages payout, recurring, opn and paymongo are each a [Gateway] for
// [NewFor], and one for another sender is two methods.
//
// # The server around it
//
// The server's ReadTimeout and WriteTimeout must be longer than the budget, TLS
// 1.2 must be accepted (Midtrans offers no later version), and nothing in front
// of the route may redirect: Midtrans takes a 301, 302 or 303 as the end.
package midhook
