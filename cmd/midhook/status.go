package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/midhook/midhook"
	"github.com/midhook/midhook/midhooktest"
)

var statusManual = manual{
	about: `Stands in for Midtrans' status API, GET /v2/{id}/status, on a port of this
machine, until Ctrl-C. It serves payments only, no subscriptions. It knows the
transactions of the files and samples that are named, or else of all samples, by
order_id and transaction_id; of several with one id it knows the last. Prints its
URL first, then how to use it.

It accepts the server key of --key or the environment, or else
` + serverKey + `.`,
	examples: []string{
		"midhook status",
		"midhook status --listen 127.0.0.1:9090 --sample gopay:A-1001:25000.00 --sample expire:A-1002",
		"midhook status --file transactions.json",
		"midhook status --trouble too-many-requests",
	},
	exit: [2]string{"it was ended", "it could not be started"},
}

// troubles are the names of what can be wrong with the API.
var troubles = []struct {
	name    string
	trouble midhooktest.Trouble
}{
	{"none", midhooktest.NoTrouble},
	{"nothing-found", midhooktest.NothingFound},
	{"wrong-key", midhooktest.WrongKey},
	{"too-many-requests", midhooktest.TooManyRequests},
	{"failing", midhooktest.Failing},
	{"stalling", midhooktest.Stalling},
	{"garbage", midhooktest.Garbage},
	{"too-much", midhooktest.TooMuch},
	{"redirecting", midhooktest.Redirecting},
	{"breaking", midhooktest.Breaking},
}

func troubleNames() string {
	var names []string
	for _, t := range troubles {
		names = append(names, t.name)
	}
	return strings.Join(names, ", ")
}

func status(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("status", flag.ContinueOnError)
	listen := flags.String("listen", "", "listen on `ADDR`, host and port of this machine; a free port if there is none")
	var samples, files []string
	flags.Func("sample", "know the transaction of a sample, `NAME[:ORDER[:AMOUNT]]`; may be\nrepeated", func(s string) error {
		samples = append(samples, s)
		return nil
	})
	flags.Func("file", "know those of a `FILE` of notifications, one after another or in an\narray, - for stdin; may be repeated", func(s string) error {
		files = append(files, s)
		return nil
	})
	trouble := midhooktest.NoTrouble
	flags.Func("trouble", "fail to answer in this `WAY`:\n"+strings.Replace(troubleNames(), ", stalling", ",\nstalling", 1), func(s string) error {
		for _, t := range troubles {
			if t.name == s {
				trouble = t.trouble
				return nil
			}
		}
		return errors.New("it must be one of " + troubleNames())
	})
	key := keyFlag(flags)
	asJSON := jsonFlag(flags)
	if code, done := parse(flags, args, stdout, stderr); done {
		return code
	}
	accepts := cmp.Or(key(), serverKey)
	err := checkKey(accepts)
	if err == nil && *listen != "" {
		err = checkLoopback(*listen)
	}
	var known []*midhook.Notification
	if err == nil {
		known, err = sampleTransactions(samples, len(files) == 0)
	}
	if err != nil {
		return misused(stderr, flags, err)
	}
	for _, file := range files {
		more, err := fileTransactions(ctx, file)
		if err != nil {
			return failed(ctx, stderr, flags, err)
		}
		known = append(known, more...)
	}

	api := midhooktest.NewStatusServer(accepts)
	for _, n := range known {
		api.Put(n)
	}
	api.Be(trouble)
	base, end := api.URL, api.Close
	if *listen != "" {
		if base, end, err = serveOn(*listen, api); err != nil {
			api.Close()
			return failed(ctx, stderr, flags, err)
		}
	}
	defer end()
	introduce(newScreen(stdout), base, known, accepts == serverKey, *asJSON)
	<-ctx.Done()
	return exitOK
}

// checkLoopback refuses an address that others could reach: the API answers
// with signed bodies.
func checkLoopback(addr string) error {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return fmt.Errorf("--listen %q: a host and a port are required, such as 127.0.0.1:9090", addr)
	}
	if ip := net.ParseIP(host); host != "localhost" && !ip.IsLoopback() {
		return fmt.Errorf("--listen %q: its host must be this machine only, 127.0.0.1", addr)
	}
	return nil
}

// serveOn serves the API on an address of choice, too.
func serveOn(addr string, api *midhooktest.StatusServer) (base string, end func(), err error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return "", nil, err
	}
	server := &http.Server{Handler: api, ReadHeaderTimeout: 5 * time.Second}
	go func() { _ = server.Serve(l) }() // until Close
	return "http://" + l.Addr().String(), func() {
		_ = server.Close()
		api.Close()
	}, nil
}

// sampleTransactions are those of the samples, or of all of them.
func sampleTransactions(samples []string, orAll bool) (known []*midhook.Notification, err error) {
	if len(samples) == 0 && orAll {
		samples = midhooktest.Samples()
		// An account has no transaction.
		samples = slices.DeleteFunc(samples, func(name string) bool { return midhooktest.Sample(name).Kind() != midhook.Payment })
	}
	for _, text := range samples {
		parts := strings.SplitN(text, ":", 3)
		name, tweaks := parts[0], []midhooktest.Tweak{}
		if !slices.Contains(midhooktest.Samples(), name) {
			return nil, fmt.Errorf("there is no sample %q: midhook send --list prints the names", name)
		}
		if midhooktest.Sample(name).Kind() != midhook.Payment {
			return nil, fmt.Errorf("sample %q is of no transaction", name)
		}
		if len(parts) > 1 && parts[1] != "" {
			// Another order is another transaction.
			tweaks = append(tweaks, midhooktest.Order(parts[1]), midhooktest.Transaction("transaction-of-"+parts[1]))
		}
		if len(parts) > 2 {
			if _, err := midhook.ParseAmount(parts[2]); err != nil {
				return nil, fmt.Errorf("--sample: %w", err)
			}
			tweaks = append(tweaks, midhooktest.Amount(parts[2]))
		}
		known = append(known, midhooktest.Sample(name, tweaks...))
	}
	return known, nil
}

// fileTransactions are those of a file of notifications.
func fileTransactions(ctx context.Context, file string) (known []*midhook.Notification, err error) {
	text, err := readInput(ctx, file)
	if err != nil {
		return nil, err
	}
	var bodies []json.RawMessage
	for dec := json.NewDecoder(bytes.NewReader(text)); ; {
		var value json.RawMessage
		if err := dec.Decode(&value); err == io.EOF {
			break
		} else if err != nil {
			return nil, fmt.Errorf("%s: it is not JSON", file)
		}
		var array []json.RawMessage
		if json.Unmarshal(value, &array) == nil {
			bodies = append(bodies, array...)
		} else {
			bodies = append(bodies, value)
		}
	}
	for i, body := range bodies {
		n, err := midhook.Parse(body)
		if err == nil && (n.Kind() != midhook.Payment || n.TransactionID == "") {
			err = errors.New("it has no transaction_id")
		}
		if err != nil {
			return nil, fmt.Errorf("%s: notification %d: %w", file, i+1, err)
		}
		known = append(known, n)
	}
	if len(known) == 0 {
		return nil, fmt.Errorf("%s: there is no notification in it", file)
	}
	return known, nil
}

// introduce says where the API is, and how to ask it.
func introduce(s screen, base string, known []*midhook.Notification, testKey, asJSON bool) {
	if asJSON {
		out := struct {
			URL          string                  `json:"url"`
			Transactions []*midhook.Notification `json:"transactions"`
		}{base, known}
		writeJSON(s, out)
		return
	}
	fmt.Fprintln(s, s.paint(bold, base))
	user := "$" + keyVariable
	if testKey {
		user = serverKey
	}
	example := "ORDER_ID"
	if len(known) > 0 {
		example = strings.ReplaceAll(url.PathEscape(known[0].OrderID), "'", "%27")
	}
	fmt.Fprintf(s, `
In Go:
  client, err := midhook.NewStatusClient(serverKey, midhook.WithBaseURL(%q))
  hook, err := midhook.New(serverKey, midhook.WithStatusCheck(client))
In a shell:
  curl -u "%s:" '%s/v2/%s/status'
`, base, user, base, example)
	s.remark("\nIt knows %d transactions. Ctrl-C ends it.\n", len(known))
}
