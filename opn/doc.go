// Package opn receives the webhooks of Opn Payments (Omise) through
// [midhook.NewFor].
//
//	gateway, err := opn.New(os.Getenv("OPN_WEBHOOK_SECRET"))
//	if err != nil {
//		log.Fatal(err)
//	}
//	hook, err := midhook.NewFor(gateway)
//	if err != nil {
//		log.Fatal(err)
//	}
//	mux.Handle("POST /opn/events", midhook.HandleValue(hook,
//		func(ctx context.Context, e *opn.Event) error {
//			return shop.Charged(ctx, e) // by e.Key, e.Livemode and e.Decode
//		}))
//
// # Events get lost
//
// Opn does not say that it sends an event again after a refusal, and an answer
// that does not reach it may be the end of an event. So a delivery is refused as
// late as possible (see [Gateway.Retries]), and what is lost all the same (the
// handler has failed, the server was down, the body was above
// [midhook.WithMaxBodyBytes]) is found with [Client.Reconcile], which belongs into
// every program that uses this package: every few minutes. It reaches as far back as
// the store remembers what was handled. What an outage longer than that has lost
// needs a unique index over [Event.IdempotencyKey] beside the effect, and a person.
//
// # Which event means paid
//
// None by its key alone: charge.complete is sent for charges that failed, too,
// and a card charge without 3-D Secure may send only charge.create and never
// charge.complete. Look at the charge's status and paid in [Event].Data, compare
// its amount with the order's, and look at [Event].Livemode: a test payment is
// free. Opn documents no order of events, so none is ever held back as late:
// where it matters, ask for the charge by its id.
//
// # The server around it
//
// Opn posts to HTTPS only, with TLS 1.2 or later, and refuses a self-signed
// certificate. Test and live mode have a URL and a secret each.
package opn
