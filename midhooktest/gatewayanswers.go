package midhooktest

import (
	"fmt"
	"reflect"

	"github.com/midhook/midhook"
	"github.com/midhook/midhook/internal/expose"
)

// gateway is the one that is tested.
func (tr *gatewayTrial) gateway() midhook.Gateway {
	hook := tr.New(tr.t)
	if hook == nil {
		tr.t.Fatal("New returned nil")
	}
	return expose.Gateway(hook).(midhook.Gateway)
}

// everyAnswer judges the answers to all outcomes, those included that no test can
// bring about.
func (tr *gatewayTrial) everyAnswer() {
	g, policy := tr.gateway(), tr.Sender.Policy
	most := policy.mostRetries()
	for o := midhook.Outcome(1); o.String() != fmt.Sprintf("Outcome(%d)", int(o)); o++ {
		status, _, body := g.Answer(o)
		if status == 0 {
			status, _, body = midhook.PlainAnswer(o)
		}
		succeeds, retries := policy.Succeeds(status, []byte(body)), policy.RetriesAfter(status)
		seen := fmt.Sprintf("the answer to %v is %d %.40q", o, status, body)
		switch o {
		case midhook.OutcomeHandled, midhook.OutcomeHandledPermanent, midhook.OutcomeDuplicate, midhook.OutcomeSuperseded, midhook.OutcomeTest:
			if !succeeds {
				tr.t.Errorf("%s, which is no success for %s: it comes again, or holds it against the endpoint", seen, tr.Sender.Name)
			}
			continue
		}
		if succeeds || status < 400 {
			tr.t.Errorf("%s, which is the end for %s: what was not handled is lost", seen, tr.Sender.Name)
			continue
		}
		switch o {
		case midhook.OutcomeMethodNotAllowed, midhook.OutcomeBodyTooLarge, midhook.OutcomeMalformed:
			continue // another delivery would be no better
		case midhook.OutcomeUnknownOrder, midhook.OutcomeHandlerPanicked:
			if retries == 0 && most > 0 {
				tr.t.Errorf("%s, after which %s does not come again: what was not handled is lost", seen, tr.Sender.Name)
			}
		default:
			if 2*retries < most {
				tr.t.Errorf("%s, after which %s makes %d of its %d retries: what was not handled is lost before an outage is over", seen, tr.Sender.Name, retries, most)
			}
		}
	}
}

// mostRetries is how many there are after the answer that is retried most.
func (p RetryPolicy) mostRetries() int {
	most := p.RetriesAfter(0)
	for status := range p.Retries {
		most = max(most, p.RetriesAfter(status))
	}
	return most
}

// optionalMethods are those by which a gateway says more than a Gateway must.
var optionalMethods = []struct {
	name, loss string
	has        reflect.Type
}{
	{"Authenticate", "nobody asks whether a body is true", reflect.TypeFor[midhook.Authenticator]()},
	{"Accepts", "an answer of the handler's own goes out that the sender does not take for a success", reflect.TypeFor[midhook.Acceptor]()},
	{"Retries", "a sender that does not come again is sent away", reflect.TypeFor[midhook.Retrier]()},
}

func (tr *gatewayTrial) methods() {
	outer := reflect.ValueOf(tr.gateway())
	for _, m := range optionalMethods {
		if outer.Type().Implements(m.has) {
			continue
		}
		if reflect.PointerTo(outer.Type()).Implements(m.has) {
			tr.t.Errorf("the gateway is a %v, of which only the pointer has the method %s: %s; give NewFor a pointer", outer.Type(), m.name, m.loss)
		}
		for _, inner := range wrappedGateways(outer, 0) {
			if reflect.PointerTo(inner).Implements(m.has) || inner.Implements(m.has) {
				tr.t.Errorf("the gateway %v wraps %v and has lost its method %s: %s; declare it, and call the inner one's", outer.Type(), inner, m.name, m.loss)
			}
		}
	}
}

// wrappedGateways are the types of the gateways that a gateway holds, embedded or in
// other fields.
func wrappedGateways(v reflect.Value, depth int) (found []reflect.Type) {
	const deep = 8 // whoever wraps itself need not be followed for ever
	if depth > deep {
		return nil
	}
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		if !v.IsNil() {
			return wrappedGateways(v.Elem(), depth+1)
		}
	case reflect.Slice, reflect.Array:
		for i := range v.Len() {
			found = append(found, heldGateways(v.Index(i), depth)...)
		}
	case reflect.Map:
		for entries := v.MapRange(); entries.Next(); {
			found = append(found, heldGateways(entries.Value(), depth)...)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			found = append(found, heldGateways(v.Field(i), depth)...)
		}
	}
	return found
}

// heldGateways are the type of a value that is a gateway, and of those it wraps.
func heldGateways(v reflect.Value, depth int) (found []reflect.Type) {
	for v.Kind() == reflect.Interface && !v.IsNil() {
		v = v.Elem()
	}
	gateway := reflect.TypeFor[midhook.Gateway]()
	switch t := v.Type(); {
	case v.Kind() == reflect.Interface: // nil
		return nil
	case t.Implements(gateway) || reflect.PointerTo(t).Implements(gateway):
		found = append(found, t)
	case v.Kind() != reflect.Slice && v.Kind() != reflect.Array && v.Kind() != reflect.Map:
		return nil // only gateways, and lists of them, are looked into
	}
	return append(found, wrappedGateways(v, depth+1)...)
}
