// Package recurring receives the notifications of Midtrans' recurring payments
// (subscriptions), which Midtrans sends to a notification URL of their own:
//
//	gateway, err := recurring.New(os.Getenv("MIDTRANS_SERVER_KEY"), 20, 40)
//	if err != nil {
//		log.Fatal(err)
//	}
//	hook, err := midhook.NewFor(gateway)
//	if err != nil {
//		log.Fatal(err)
//	}
//	mux.Handle("POST /payments/recurring", midhook.HandleValue(hook,
//		func(ctx context.Context, n *recurring.Notification) error {
//			if n.Paid() { // extend must count a transaction once, see below
//				return extend(ctx, n.Subscription.ID, n.Transaction.TransactionID)
//			}
//			return nil
//		}))
//
// # Nothing is taken from the body
//
// The documented bodies carry no signature: anyone who knows the URL can write
// one. So each is asked about before anything else happens: the subscription with
// GET /v1/subscriptions/{id}, and the transaction of a charge with
// GET /v2/{id}/status. What the handler gets are the API's answers. The body only
// says what to ask for, and stays in reach as [Notification.Notified].
//
// A subscription that the API does not know, and a transaction that it does not
// list as the subscription's, is answered 403. An API that cannot be asked, or
// that is behind what was notified, has Midtrans come again.
//
// # The price
//
// Each body that names an id costs one or two calls, those of strangers included,
// which is why [New] requires a rate. Bodies that would have to wait longer for
// their call than the response budget are answered 503. While someone floods the
// URL, that befalls Midtrans' own, too, but for those that it signs: it comes again
// four times. Alert on the outcome rate_limited.
//
// # What a stranger can do
//
// Nothing untrue reaches the handler, but what is true can be said again, without a
// key: whoever knows the ids of a subscription and of its charge, as the customer
// may, can have an old charge handed on as paid when the store has forgotten it
// ([midhook.WithKeep]), and a charge is paid twice anyway, when it is captured and
// when it is settled. Count each Transaction.TransactionID once, by a unique index
// beside the effect: [Notification.IdempotencyKey] is not enough here.
//
// A body that says that a charge failed names no transaction, so there is nothing
// to ask for but the subscription: see [ChargeFailed]. What is made up of one that
// has not failed is handed on. If it has the subscription's token in it, which is the
// customer's, Midtrans' own may then be taken for its duplicate: look yourself for
// subscriptions that are due and not paid.
//
// The API is asked before the event is claimed, so that made-up bodies cost no
// memory. With a store that takes seconds to answer, what the handler gets is as old
// as that, and a later fact may have been handled before it.
//
// Ordinary payments belong on a URL of their own, under [midhook.New]: a payment
// without a subscription_id is refused here. What Midtrans' dashboard sends as a
// test of this URL is not documented; a body that its API knows nothing about
// is answered 403.
package recurring
