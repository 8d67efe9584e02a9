// Package recurring receives the notifications of Midtrans' recurring payments
// (subscriptions), which Midtrans sends to a notification URL of their own:
//
//	gateway, err := recurring.New(os.Getenv("MIDTRANS_SERVER_KEY"), 20, 40)
//	if err != nil {
//		log.Fatal(err)
//	}
//	hook, err := midhook.NewGateway(gateway)
//	if err != nil {
//		log.Fatal(err)
//	}
//	mux.Handle("POST /payments/recurring", midhook.HandleValue(hook,
//		func(ctx context.Context, n *recurring.Notification) error {
//			if n.Paid() {
//				return extend(ctx, n.Subscription.ID, n.Transaction)
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
// URL, that befalls Midtrans' own, too: it comes again four times.
//
// # What is left to know
//
// A body that says that a charge failed names no transaction, so there is nothing
// to ask for but the subscription: see [ChargeFailed]. Whoever knows the id of a
// subscription can have a notification of it handed on that says no more than the
// API does: see [Notification.IdempotencyKey] for how often.
//
// Ordinary payments belong on a URL of their own, under [midhook.New]: a payment
// without a subscription_id is refused here. What Midtrans' dashboard sends as a
// test of this URL is not documented; a body of which its API knows nothing is
// answered 403.
package recurring
