// Package paymongo receives PayMongo's webhooks with midhook: it is the
// [midhook.Gateway] for them.
//
//	gateway, err := paymongo.New(os.Getenv("PAYMONGO_WEBHOOK_SECRET"))
//	if err != nil {
//		log.Fatal(err)
//	}
//	hook, err := midhook.NewFor(gateway)
//	if err != nil {
//		log.Fatal(err)
//	}
//	mux.Handle("POST /paymongo", midhook.HandleValue(hook,
//		func(ctx context.Context, e *paymongo.Event) error {
//			if !e.Livemode || e.Type != paymongo.EventTypePaymentPaid {
//				return nil
//			}
//			return fulfil(ctx, e.Resource)
//		}))
//
// [Parse] and [Verify] do the same without HTTP.
//
// # What is authentic
//
// PayMongo signs the whole body and the time at which it did, with the secret of
// the webhook: whsk_…, which the API answers when the webhook is created. The
// secret signs for as long as the webhook exists, and whether a retry is signed
// anew is not documented. So by default nothing limits a signature in time: what
// someone has recorded and sends again is recognized for as long as the store
// remembers it, and handed on after that, see [midhook.WithKeep] and
// [WithTolerance]. Put [Event.IdempotencyKey] into a unique index beside the effect.
//
// An event says what a resource was when it happened. Events come in any order,
// and nothing in them tells which of two is the later one: where the order matters
// (payment.paid, payment.refunded), ask PayMongo for the resource.
//
// # What PayMongo wants to hear
//
// A delivery has succeeded if the answer comes within 30 s, has a status from 200
// to 209 and is JSON. After anything else PayMongo comes again, at most 12 times,
// with waits that grow and come to no more than 136.5 minutes. Then the event is
// failed, and sent again only by hand. Three failed events in a row disable the
// webhook: nothing comes any more until someone enables it again. (PayMongo,
// "Retry Logic", "Webhook Retry Logic")
//
// Hence every answer here is JSON, and a handler's own 2xx goes out only if it is
// what PayMongo takes for a success, see [Gateway.Accepts]. It also makes a
// refusal expensive that no retry can mend, for it takes only three of them to
// lose all that come after:
//
//   - An event that the handler cannot use (of a type it does not know, of an
//     order that is another shop's) must be answered 2xx: return nil, or
//     [midhook.Permanent], which is answered 200 and reported. Subscribe the
//     webhook to the types that are needed, and to no others.
//   - A handler that panics or fails on one event for ever uses up its retries.
//     Count the failures by [Event.ID], and give up with Permanent in time.
//   - A wrong secret (403), a body larger than [midhook.WithMaxBodyBytes] (413),
//     and one that this package cannot read (400) are refused each time. Alert on
//     the outcomes forged, body_too_large and malformed: whoever mends them within
//     the 136.5 minutes loses nothing.
//   - A webhook that was disabled, and every event that has failed, needs a person:
//     enable it, and resend from PayMongo's dashboard, or ask its API what was paid.
//
// A short outage heals itself. Waits that double from 2 s on, twelve of them, are
// exactly 8190 s, which is 136.5 minutes: that schedule is inferred from the total,
// not documented. By it the eleventh of 13 deliveries comes 34 minutes after the
// first, and an outage of 20 minutes, of the store or the handler, loses nothing.
// The first few come within seconds, while a slow handler is at work: they are
// refused (503) and the handler does not run twice. Each of them is one retry less,
// so a handler should be through in minutes, not in hours.
package paymongo
