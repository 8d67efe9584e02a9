package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/midhook/midhook"
	"github.com/midhook/midhook/midhooktest"
)

const (
	demoBudget    = 500 * time.Millisecond
	defaultBudget = 5 * time.Second // midhook's own
)

func demo(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("demo", flag.ContinueOnError)
	serveAddr := flags.String("serve", "", "when the table is printed, stay up on `ADDR` (say, 127.0.0.1:8080) until Ctrl-C")
	verbose := flags.Bool("verbose", false, "print the merchant's log to stderr")
	if code, done := parse(flags, args, stdout, stderr); done {
		return code
	}
	logger := slog.New(slog.DiscardHandler)
	if *verbose {
		logger = slog.New(slog.NewTextHandler(stderr, nil))
	}
	asExpected, err := runDemo(ctx, *serveAddr, stdout, logger)
	if err != nil {
		fmt.Fprintf(stderr, "midhook demo: %v\n", err)
	}
	if err != nil || !asExpected {
		return exitWrong
	}
	return exitOK
}

func runDemo(ctx context.Context, serveAddr string, w io.Writer, logger *slog.Logger) (asExpected bool, err error) {
	var l net.Listener
	if serveAddr != "" { // first of all, for the address may be taken
		if l, err = net.Listen("tcp", serveAddr); err != nil {
			return false, err
		}
		defer l.Close()
	}
	if asExpected, err = playScenes(ctx, scenario(), w, logger); err != nil || l == nil {
		return asExpected, err
	}
	return asExpected, serve(ctx, l, w, logger)
}

// playScenes plays the scenes, prints what came of each step, and reports whether all
// was as expected.
func playScenes(ctx context.Context, scenes []scene, w io.Writer, logger *slog.Logger) (asExpected bool, err error) {
	fmt.Fprintf(w, `Each part has an example merchant on this machine, with midhook in front of its handler.
Each row is one request to it, sent as Midtrans would, or as someone who pretends to be Midtrans.
One that begins with - is about the same order as the row above it.
An answer of 2xx tells Midtrans not to send it again; after most others it retries, for hours.
Here midhook answers within %v, so that the demo is quick; the default is %v.
`, demoBudget, defaultBudget)
	t := newTable(w, scenes)
	for _, s := range scenes {
		if err := s.play(ctx, t, logger); err != nil {
			return false, err
		}
	}
	return t.end(), nil
}

// play sends the scene's steps to a merchant of its own.
func (s scene) play(ctx context.Context, t *table, logger *slog.Logger) (err error) {
	protection, stop := s.protection()
	defer stop()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	events := make(chan midhook.Event, 16)
	m, err := openMerchant(l, demoBudget, logger, func(_ context.Context, e midhook.Event) { events <- e }, protection...)
	if err != nil {
		return errors.Join(err, l.Close())
	}
	client := &http.Client{
		Transport: &http.Transport{}, // without the proxy of the environment
		Timeout:   15 * time.Second,  // as long as Midtrans waits
		CheckRedirect: func(*http.Request, []*http.Request) error {
			return http.ErrUseLastResponse // as Midtrans does
		},
	}
	defer func() {
		client.CloseIdleConnections()
		err = errors.Join(err, m.close())
	}()

	t.heading(s.title, s.about)
	for _, step := range s.steps {
		got, err := deliver(ctx, step, m, client, events)
		if err != nil {
			return fmt.Errorf("%s: %w", step.sent, err)
		}
		t.row(step, got)
	}
	return nil
}

// protection is what the scene's merchant has midhook check beyond the
// signature. Call stop when the merchant is closed.
func (s scene) protection() (options []midhook.Option, stop func()) {
	stop = func() {}
	if s.truth != nil {
		api := midhooktest.NewStatusServer(serverKey)
		for _, n := range s.truth {
			api.Put(n)
		}
		options, stop = append(options, midhook.WithStatusCheck(api.Client())), api.Close
	}
	if s.costs != nil {
		options = append(options, midhook.WithExpectation(func(_ context.Context, n *midhook.Notification) (midhook.Expectation, error) {
			want, ok := s.costs[n.OrderID]
			if !ok {
				return want, midhook.ErrUnknownOrder
			}
			return want, nil
		}))
	}
	return options, stop
}

// result is what came of a step.
type result struct {
	status  int
	ran     string
	outcome midhook.Outcome
}

func (s step) expected() result { return result{s.status, s.ran, s.outcome} }

// deliver sends one request and waits for what comes of it.
func deliver(ctx context.Context, s step, m *merchant, client *http.Client, events <-chan midhook.Event) (result, error) {
	if s.after != 0 {
		if e, err := next(ctx, events); err != nil || e.Outcome != s.after {
			return result{}, cmp.Or(err, fmt.Errorf("%v came before %v", e.Outcome, s.after))
		}
	}
	r, err := s.request(ctx, m.url)
	if err != nil {
		return result{}, err
	}
	m.lately() // is over
	resp, err := client.Do(r)
	if err != nil {
		return result{}, err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return result{}, err
	}
	e, err := next(ctx, events)
	return result{resp.StatusCode, m.lately(), e.Outcome}, err
}

func next(ctx context.Context, events <-chan midhook.Event) (midhook.Event, error) {
	select {
	case e := <-events:
		return e, nil
	case <-ctx.Done():
		return midhook.Event{}, ctx.Err()
	case <-time.After(15 * time.Second):
		return midhook.Event{}, errors.New("the merchant's observer was not called")
	}
}

// request is the step as Midtrans would send it.
func (s step) request(ctx context.Context, url string) (*http.Request, error) {
	body := s.body
	if s.sample != "" {
		signed := string(midhooktest.Body(midhooktest.Sample(s.sample, s.tweaks...), cmp.Or(s.key, serverKey)))
		body = strings.Replace(signed, s.edit[0], s.edit[1], 1)
		if s.edit != [2]string{} && body == signed {
			return nil, fmt.Errorf("the body has no %s to edit", s.edit[0])
		}
	}
	method, path := cmp.Or(s.method, http.MethodPost), cmp.Or(s.path, "/midtrans")
	r, err := http.NewRequestWithContext(ctx, method, url+path, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Accept", "application/json")
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("User-Agent", "Veritrans")
	return r, nil
}

// table prints results in columns as they come.
type table struct {
	w                io.Writer
	sent, ran        int // widths
	rows, unexpected int
}

func newTable(w io.Writer, scenes []scene) *table {
	t := &table{w: w}
	for _, scene := range scenes {
		for _, s := range scene.steps {
			t.sent = max(t.sent, len(s.sent))
			t.ran = max(t.ran, len(handler(s.ran)))
		}
	}
	return t
}

func handler(ran string) string {
	if ran == "" {
		return "not run"
	}
	return "ran: " + ran
}

func (t *table) heading(title, about string) {
	fmt.Fprintf(t.w, "\n%s\n%s", title, about)
	t.line(" ", "sent", "answer", "handler", "why")
}

func (t *table) line(mark, sent, answer, handler, why string) {
	fmt.Fprintf(t.w, "%s %-*s  %-6s  %-*s  %s\n", mark, t.sent, sent, answer, t.ran, handler, why)
}

func (t *table) row(s step, got result) {
	t.rows++
	mark, why := " ", s.why
	if want := s.expected(); got != want {
		t.unexpected++
		mark = "!"
		why = fmt.Sprintf("%v; EXPECTED %d, %s, %v", got.outcome, want.status, handler(want.ran), want.outcome)
	}
	t.line(mark, s.sent, fmt.Sprint(got.status), handler(got.ran), why)
}

// end sums up, and reports whether all was as expected.
func (t *table) end() bool {
	if t.unexpected > 0 {
		fmt.Fprintf(t.w, "\n%d of %d requests came out other than expected: the rows marked with !.\n", t.unexpected, t.rows)
		return false
	}
	fmt.Fprintf(t.w, "\nAll %d requests came out as expected.\n", t.rows)
	return true
}

// serve keeps a merchant up on l until ctx is done.
func serve(ctx context.Context, l net.Listener, w io.Writer, logger *slog.Logger) error {
	var mu sync.Mutex
	mu.Lock() // until the first words are out
	m, err := openMerchant(l, defaultBudget, logger, func(_ context.Context, e midhook.Event) {
		mu.Lock()
		defer mu.Unlock()
		fmt.Fprintf(w, "  %d %v%s\n", e.StatusCode, e.Outcome, about(e.Notification))
	})
	if err != nil {
		return err
	}
	n := midhooktest.Sample("gopay", midhooktest.Order("curl-1"))
	fmt.Fprintf(w, `
A new merchant stays up, with the default budget of %v. Send it a payment from another terminal:

%s

Send it again, and it is a duplicate. Change the gross_amount, and it is refused. Ctrl-C ends.

`, defaultBudget, curl(m.url+"/midtrans", midhooktest.Body(n, serverKey)))
	mu.Unlock()

	select {
	case <-ctx.Done():
		err = m.close()
		fmt.Fprintln(w, "\nThe merchant is closed.")
		return err
	case err := <-m.ended:
		return err
	}
}

// curl is the command that posts body, for a POSIX shell.
func curl(url string, body []byte) string {
	quoted := "'" + strings.ReplaceAll(string(body), "'", `'\''`) + "'"
	return "curl -i " + url + " -H 'Content-Type: application/json' -H 'User-Agent: Veritrans' -d " + quoted
}

// about says what an authentic notification is about.
func about(n *midhook.Notification) string {
	switch {
	case n == nil:
		return ""
	case n.Kind() == midhook.PayAccount:
		return fmt.Sprintf(": account %q %q", n.AccountID, n.AccountStatus)
	default:
		return fmt.Sprintf(": order %q %q %s", n.OrderID, n.TransactionStatus, n.GrossAmount)
	}
}
