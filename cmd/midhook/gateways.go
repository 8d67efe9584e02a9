package main

import (
	"cmp"
	"crypto/tls"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/midhook/midhook"
	"github.com/midhook/midhook/midhooktest"
	"github.com/midhook/midhook/opn"
	"github.com/midhook/midhook/paymongo"
	"github.com/midhook/midhook/payout"
)

// gateway is a sender, with what the command line has to know besides.
type gateway struct {
	midhooktest.Sender
	company   string // the sender in a sentence
	variable  string // the environment's, that has the secret
	secret    string // in a sentence
	check     func(secret string) error
	sample    string        // to send where none is named
	ids       [][]string    // paths of what makes an event another one; the first that a body has is the event's own id
	newestTLS uint16        // 0 for the newest there is
	prompt    time.Duration // it asks for an answer within that; 0 if it does not say
	lost      string        // what helps when an event is lost, if the sender never comes again
}

// gateways are midhooktest.Senders, in that order. Opn takes TLS 1.2 and later;
// what PayMongo takes is not documented.
var gateways = []gateway{
	{
		Sender: midhooktest.MidtransSender(), company: "Midtrans",
		variable: keyVariable, secret: "a server key", check: checkServerKey,
		sample: "gopay", ids: [][]string{{"order_id"}, {"transaction_id"}, {"account_id"}},
		newestTLS: tls.VersionTLS12, prompt: 5 * time.Second,
	},
	{
		Sender: midhooktest.PayoutSender(), company: "Midtrans",
		variable: "MIDTRANS_IRIS_KEY", secret: "an Iris merchant key", check: checkedBy(payout.New),
		sample: "completed", ids: [][]string{{"reference_no"}, {"transaction_id"}, {"order_id"}},
		newestTLS: tls.VersionTLS12,
	},
	{
		Sender: midhooktest.RecurringSender(), company: "Midtrans",
		variable: keyVariable, secret: "a server key", check: checkServerKey,
		sample: "charged", ids: [][]string{
			{"subscription", "id"}, {"subscription_id"}, {"id"},
			{"transaction", "transaction_id"}, {"transaction_id"}, {"order_id"},
		},
		newestTLS: tls.VersionTLS12,
	},
	{
		Sender: midhooktest.OpnSender(), company: "Opn",
		variable: "OPN_WEBHOOK_SECRET", secret: "an Opn webhook secret", check: checkedBy(opn.New),
		sample: "charge.complete", ids: [][]string{{"id"}},
		lost: "Opn guarantees no retry; opn.Client.Reconcile finds the event in Opn's list of events",
	},
	{
		Sender: midhooktest.PayMongoSender(), company: "PayMongo",
		variable: "PAYMONGO_WEBHOOK_SECRET", secret: "a PayMongo webhook secret", check: checkedBy(paymongo.New),
		sample: "payment.paid", ids: [][]string{{"data", "id"}},
	},
}

func checkServerKey(key string) error {
	_, err := midhook.New(key)
	return err
}

// checkedBy has a constructor refuse what cannot be its secret. None quotes it.
func checkedBy[G, O any](construct func(secret string, opts ...O) (G, error)) func(string) error {
	return func(secret string) error {
		_, err := construct(secret)
		return err
	}
}

func gatewayNamed(name string) (gateway, error) {
	i := slices.IndexFunc(gateways, func(g gateway) bool { return g.Name == name })
	if i < 0 {
		return gateway{}, errors.New("--gateway must be one of " + gatewayNames())
	}
	return gateways[i], nil
}

func gatewayNames() string {
	var names []string
	for _, g := range gateways {
		names = append(names, g.Name)
	}
	return strings.Join(names, ", ")
}

// gatewayFlags defines --gateway and --key, and returns what they choose: the
// gateway, and its secret, which may be missing.
func gatewayFlags(flags *flag.FlagSet) func() (gateway, string, error) {
	name := flags.String("gateway", gateways[0].Name, "send as the `NAME` does: "+gatewayNames())
	usage := "the `SECRET` to sign with; better in a variable of the environment, which other users\nof this machine cannot see. It is never printed. The variables:"
	for _, g := range gateways {
		usage += fmt.Sprintf("\n  %-10s $%s", g.Name, g.variable)
	}
	key := flags.String("key", "", usage)
	return func() (gateway, string, error) {
		g, err := gatewayNamed(*name)
		if err != nil {
			return g, "", err
		}
		if *key == "" && given(flags, "key") { // a variable that was mistyped: not another key instead
			return g, "", errors.New("--key is empty")
		}
		return g, cmp.Or(*key, os.Getenv(g.variable)), nil
	}
}

// given reports whether a flag is on the command line.
func given(flags *flag.FlagSet, name string) (found bool) {
	flags.Visit(func(f *flag.Flag) { found = found || f.Name == name })
	return found
}

// checkKey refuses what cannot be the gateway's secret, without quoting it.
func (g gateway) checkKey(key string) error {
	if key == "" {
		return fmt.Errorf("%s is required: set $%s, or --key", g.secret, g.variable)
	}
	return g.check(key)
}

// checkKey refuses what cannot be a server key of Midtrans.
func checkKey(key string) error { return gateways[0].checkKey(key) }

// isMidtrans reports whether it sends payment notifications, which have more
// flags and the scenarios.
func (g gateway) isMidtrans() bool { return g.Name == gateways[0].Name }

// checkSample refuses a name that no sample has.
func (g gateway) checkSample(name string) error {
	if slices.Contains(g.Samples(), name) {
		return nil
	}
	hint := "midhook send --list"
	if !g.isMidtrans() {
		hint = "midhook send --gateway " + g.Name + " --list"
	}
	return fmt.Errorf("there is no sample %q; %s prints the names", name, hint)
}

// idPath leads to the id of the sample's event.
func (g gateway) idPath(sample string) []string {
	body := g.Body(sample)
	i := slices.IndexFunc(g.ids, func(path []string) bool { return textAt(body, path) != "" })
	return g.ids[i] // each sample has one
}

// event is a sample with its ids renamed, and what to call it.
func (g gateway) event(sample string, rename func(id string) string) (name string, body []byte) {
	unchanged := g.Body(sample)
	var tweaks []midhooktest.Tweak
	for _, path := range g.ids {
		if id := textAt(unchanged, path); id != "" && rename(id) != id {
			tweaks = append(tweaks, midhooktest.Member(rename(id), path...))
		}
	}
	body = g.Body(sample, tweaks...)
	if g.isMidtrans() {
		n, _ := midhook.Parse(body) // of a sample
		return eventName(n), body
	}
	return printable(sample + " " + textAt(body, g.idPath(sample))), body
}

// textAt is the string that a path of names leads to, "" if there is none.
func textAt(body []byte, path []string) (text string) {
	for _, name := range path {
		var object map[string]json.RawMessage
		if json.Unmarshal(body, &object) != nil {
			return ""
		}
		body = object[name]
	}
	_ = json.Unmarshal(body, &text)
	return text
}
