package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/midhook/midhook"
	"github.com/midhook/midhook/midhooktest"
)

var playManual = manual{
	operands: "URL",
	about: `Plays Midtrans to a running server, with all retries: delivers samples, or a
scenario such as an outage, and after each answer that asks for it comes again, by
Midtrans' times and numbers, --speed times as fast. In the end prints what happened
when, by Midtrans' clock. Ctrl-C ends it, and still prints that.

Each attempt is told on stderr as it is made. The server must take no longer for an
answer than 33 s / speed, or retries come earlier than they would.`,
	examples: []string{
		"MIDTRANS_SERVER_KEY=SB-Mid-server-test midhook play http://127.0.0.1:8080/midtrans",
		"midhook play --sample bca-va --sample gopay --html timeline.html http://127.0.0.1:8080/midtrans",
		"midhook play --scenario outage --prefix monday- http://127.0.0.1:8080/midtrans",
		"midhook play --scenario all --speed 3600 --json http://127.0.0.1:8080/midtrans",
		"midhook play --list",
	},
	exit: [2]string{"all were delivered, or the scenario went as it must", "one was lost, or a rule was broken, or Ctrl-C came before the end"},
}

// playing is what the flags of play ask for.
type playing struct {
	samples, scenarios []string
	prefix             string
	gateway            *midhooktest.Gateway
}

func rehearse(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("play", flag.ContinueOnError)
	var p playing
	flags.Func("sample", "the `NAME` of a sample to deliver, all of them at once; may be repeated (default gopay)", collect(&p.samples))
	flags.Func("scenario", "the `NAME` of a scenario to play instead, or all; may be repeated", collect(&p.scenarios))
	flags.StringVar(&p.prefix, "prefix", "", "`TEXT` to put before order and transaction ids: a server that was played to before\nknows the others, and need not handle them again")
	speed := flags.Float64("speed", 600, "divide the waits between attempts by `N`: at 600, ten minutes take a second")
	seed := flags.Uint64("seed", 1, "`N` that decides how early each retry comes")
	page := flags.String("html", "", "write the timeline to `FILE`, too, as one page that needs nothing else")
	insecure := flags.Bool("insecure", false, "accept any certificate, which Midtrans does not")
	list := flags.Bool("list", false, "print the names of all scenarios, and send nothing")
	key := keyFlag(flags)
	asJSON := jsonFlag(flags)
	operands, code, done := parseOperands(flags, 0, 1, args, stdout, stderr)
	if done {
		return code
	}
	if *list {
		listScenarios(ctx, stdout, *asJSON)
		return exitOK
	}
	if len(operands) == 0 {
		return misused(stderr, flags, errors.New("an argument is missing: URL"))
	}
	target, err := parseTarget(operands[0])
	if err == nil {
		err = p.check(ctx, *speed, key())
	}
	if err != nil {
		return misused(stderr, flags, err)
	}
	var file *os.File
	if *page != "" { // before the play: a mistake in the name must not cost it
		if file, err = os.Create(*page); err != nil {
			return failed(ctx, stderr, flags, err)
		}
		defer file.Close()
	}

	p.gateway = &midhooktest.Gateway{
		URL: target.String(), ServerKey: key(), Speed: *speed, Seed: *seed,
		OnAttempt: progress(stderr, key()),
	}
	if *insecure {
		p.gateway.Client = midtransClient(true)
		defer p.gateway.Client.CloseIdleConnections()
	}
	line := p.run(ctx)
	line.Target, line.Speed, line.Seed = shownTarget(target), *speed, *seed
	line.Interrupted = ctx.Err() != nil
	line.clean(key())
	if *asJSON {
		writeJSON(stdout, line)
	} else {
		line.print(newScreen(stdout))
	}
	if file != nil {
		if err := errors.Join(line.writePage(file), file.Close()); err != nil {
			return failed(context.WithoutCancel(ctx), stderr, flags, err)
		}
	}
	switch {
	case line.Interrupted:
		return failed(ctx, stderr, flags, context.Cause(ctx))
	case !line.asExpected():
		return exitWrong
	}
	return exitOK
}

// collect appends the names of a flag that may be repeated.
func collect(names *[]string) func(string) error {
	return func(name string) error {
		*names = append(*names, name)
		return nil
	}
}

var prefixText = regexp.MustCompile(`^[A-Za-z0-9._~-]{0,20}$`)

// check refuses what cannot be played, and fills in what is played by default.
func (p *playing) check(ctx context.Context, speed float64, key string) error {
	switch {
	case !(speed > 0) || math.IsInf(speed, 0):
		return errors.New("--speed must be positive")
	case len(p.samples) > 0 && len(p.scenarios) > 0:
		return errors.New("it is either --sample or --scenario")
	case !prefixText.MatchString(p.prefix):
		return errors.New("--prefix must be up to 20 letters, digits, dots, hyphens, underscores and tildes")
	}
	if len(p.samples)+len(p.scenarios) == 0 {
		p.samples = []string{"gopay"}
	}
	for _, name := range p.samples {
		if !slices.Contains(midhooktest.Samples(), name) {
			return fmt.Errorf("there is no sample %q; midhook send --list prints the names", name)
		}
	}
	if slices.Contains(p.scenarios, "all") {
		p.scenarios = nil
		for _, s := range midhooktest.Scenarios() {
			p.scenarios = append(p.scenarios, s.Name)
		}
		return checkKey(key)
	}
	for _, name := range p.scenarios {
		s, ok := scenarioNamed(name)
		if !ok {
			return fmt.Errorf("there is no scenario %q; --list prints the names", name)
		}
		if err := lacking(ctx, s); err != nil {
			return fmt.Errorf("scenario %q is not playable against a URL: %w", name, err)
		}
	}
	return checkKey(key)
}

func scenarioNamed(name string) (midhooktest.Scenario, bool) {
	all := midhooktest.Scenarios()
	i := slices.IndexFunc(all, func(s midhooktest.Scenario) bool { return s.Name == name })
	if i < 0 {
		return midhooktest.Scenario{}, false
	}
	return all[i], true
}

// lacking says what a scenario needs that a URL has not, or nothing. It plays it to
// nobody: without a URL no delivery comes as far as the network.
func lacking(ctx context.Context, s midhooktest.Scenario) error {
	_, err := s.Play(ctx, midhooktest.Subject{Gateway: &midhooktest.Gateway{ServerKey: "unused-key", Speed: math.MaxFloat64}})
	if errors.Is(err, errors.ErrUnsupported) {
		return err
	}
	return nil
}

// listed is a scenario as --list --json prints it.
type listed struct {
	Name     string `json:"name"`
	Rule     string `json:"rule"`
	Playable bool   `json:"playable"` // against a URL
}

func listScenarios(ctx context.Context, stdout io.Writer, asJSON bool) {
	var all []listed
	for _, s := range midhooktest.Scenarios() {
		all = append(all, listed{s.Name, s.Rule, lacking(ctx, s) == nil})
	}
	if asJSON {
		writeJSON(stdout, all)
		return
	}
	for _, l := range all {
		note := ""
		if !l.Playable {
			note = " (" + notPlayable + ")"
		}
		newScreen(stdout).row([]int{24}, bold, l.Name, l.Rule+note)
	}
}

// progress tells each attempt as it is made.
func progress(w io.Writer, key string) func(*midhook.Notification, midhooktest.Attempt) {
	var mu sync.Mutex
	return func(n *midhook.Notification, a midhooktest.Attempt) {
		line := strings.ReplaceAll(printable(redact(eventName(n)+": "+a.String(), key)), "\n", " ")
		mu.Lock()
		defer mu.Unlock()
		fmt.Fprintln(w, line)
	}
}

// shownTarget leaves out the query, which may be a secret.
func shownTarget(u *url.URL) string { return u.Scheme + "://" + u.Host + u.EscapedPath() }

func (p *playing) run(ctx context.Context) *timeline {
	line := &timeline{Acts: []act{}}
	if len(p.samples) > 0 {
		line.Acts = append(line.Acts, p.deliverSamples(ctx))
	}
	for _, name := range p.scenarios {
		if ctx.Err() != nil {
			break
		}
		s, _ := scenarioNamed(name)
		line.Acts = append(line.Acts, p.playScenario(ctx, s))
	}
	return line
}

// deliverSamples delivers them at once: a notification does not wait for another's
// retries.
func (p *playing) deliverSamples(ctx context.Context) act {
	ds, errs := make([]midhooktest.Delivery, len(p.samples)), make([]error, len(p.samples))
	var all sync.WaitGroup
	for i, name := range p.samples {
		var tweaks []midhooktest.Tweak
		if n := midhooktest.Sample(name); p.prefix != "" && n.Kind() == midhook.Payment {
			tweaks = append(tweaks, midhooktest.Order(p.prefix+n.OrderID), midhooktest.Transaction(p.prefix+n.TransactionID))
		}
		all.Go(func() { ds[i], errs[i] = p.gateway.Deliver(ctx, midhooktest.Sample(name, tweaks...)) })
	}
	all.Wait()
	a := act{Deliveries: []parcel{}}
	lost := 0
	for _, d := range ds {
		got := newParcel(d, 0)
		a.Deliveries = append(a.Deliveries, got)
		if got.Verdict == verdictLost {
			lost++
		}
	}
	err := errors.Join(errs...)
	switch {
	case ctx.Err() != nil:
		a.Verdict = verdictInterrupted
	case err != nil:
		a.Verdict, a.Problem = verdictWrong, err.Error()
	case lost > 0:
		a.Verdict, a.Problem = verdictWrong, fmt.Sprintf("%d of %d notifications were lost", lost, len(ds))
	default:
		a.Verdict = verdictExpected
	}
	return a
}

func (p *playing) playScenario(ctx context.Context, s midhooktest.Scenario) act {
	orders := 0
	subject := midhooktest.Subject{Gateway: p.gateway, Place: func(string) string {
		orders++
		return fmt.Sprintf("%s%s-%d", p.prefix, s.Name, orders)
	}}
	ds, err := s.Play(ctx, subject)
	var start time.Time // of the first attempt: before it, a thousand bodies may be signed
	for _, d := range ds {
		if len(d.Attempts) > 0 && (start.IsZero() || d.Attempts[0].At.Before(start)) {
			start = d.Attempts[0].At
		}
	}
	a := act{Scenario: s.Name, Rule: s.Rule, Deliveries: []parcel{}}
	for _, d := range ds {
		var after time.Duration
		if len(d.Attempts) > 0 {
			after = time.Duration(float64(d.Attempts[0].At.Sub(start)) * p.gateway.Speed)
		}
		a.Deliveries = append(a.Deliveries, newParcel(d, after))
	}
	slices.SortStableFunc(a.Deliveries, func(x, y parcel) int { return cmp.Compare(x.start(), y.start()) })
	switch {
	case ctx.Err() != nil:
		a.Verdict = verdictInterrupted
	case errors.Is(err, errors.ErrUnsupported):
		a.Verdict, a.Problem = notPlayable, err.Error()
	case err != nil:
		a.Verdict, a.Problem = verdictWrong, err.Error()
	default:
		a.Verdict = verdictExpected
	}
	return a
}
