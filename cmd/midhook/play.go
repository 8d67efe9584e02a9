package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/midhook/midhook"
	"github.com/midhook/midhook/midhooktest"
)

var playManual = manual{
	operands: "URL",
	about: `Plays Midtrans, or another gateway, to a running server, with all retries:
delivers samples, or a scenario such as an outage, and after each answer that asks
for it comes again, by the sender's times and numbers, --speed times as fast. In the
end prints what happened when, by the sender's clock. Ctrl-C ends it, and still
prints that.

Each attempt is told on stderr as it is made. The server must take no longer for an
answer than the sender's shortest wait / speed, or retries come earlier than they
would: 33 s / speed for Midtrans, 2 s / speed for PayMongo.

With --count events come one after another: each when those before it were delivered
or lost. PayMongo disables an endpoint that has lost three events in a row: then the
rest is not sent. Opn guarantees no retry: what is refused once is lost. When
PayMongo's retries come, and that payout and recurring are retried as payments are,
is assumed. About what recurring says your server asks Midtrans' API, which does not
know the samples, see midhook send -h.`,
	examples: []string{
		"MIDTRANS_SERVER_KEY=SB-Mid-server-test midhook play http://127.0.0.1:8080/midtrans",
		"midhook play --sample bca-va --sample gopay --html timeline.html http://127.0.0.1:8080/midtrans",
		"midhook play --scenario outage --prefix monday- http://127.0.0.1:8080/midtrans",
		"midhook play --scenario all --speed 3600 --json http://127.0.0.1:8080/midtrans",
		"midhook play --gateway paymongo --count 4 --speed 6000 http://127.0.0.1:8080/paymongo",
		"midhook play --list",
	},
	exit: [2]string{"all were delivered, or the scenario went as it must", "one was lost, or a rule was broken, or Ctrl-C came before the end"},
}

// playing is what the flags of play ask for.
type playing struct {
	gateway            gateway
	key                string
	samples, scenarios []string
	count              int // of each sample
	prefix             string
	speed              float64
	seed               uint64

	url    string
	client *http.Client // nil for midhooktest's
	stderr *progress
}

func play(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("play", flag.ContinueOnError)
	var p playing
	chosen := gatewayFlags(flags)
	flags.Func("sample", "the `NAME` of a sample to deliver, all of them at once; may be repeated. The default is\n"+defaultSamples(), collect(&p.samples))
	flags.IntVar(&p.count, "count", 1, "deliver each sample `N` times, one after another, as events of their own")
	flags.Func("scenario", "the `NAME` of a scenario to play instead, or all; may be repeated; for midtrans only", collect(&p.scenarios))
	flags.StringVar(&p.prefix, "prefix", "", "`TEXT` to put before the ids of orders, transactions and events: a server that was\nplayed to before knows the others, and need not handle them again")
	flags.Float64Var(&p.speed, "speed", 600, "divide the waits between attempts by `N`: at 600, ten minutes take a second")
	flags.Uint64Var(&p.seed, "seed", 1, "`N` that decides how early each retry comes")
	page := flags.String("html", "", "write the timeline to `FILE`, too, as one page that needs nothing else")
	insecure := flags.Bool("insecure", false, "accept any certificate, which no gateway does")
	list := flags.Bool("list", false, "print the names of all scenarios, and send nothing")
	asJSON := jsonFlag(flags)
	operands, code, done := parseOperands(flags, 0, 1, args, stdout, stderr)
	if done {
		return code
	}
	var err error
	if p.gateway, p.key, err = chosen(); err == nil && *list && !p.gateway.isMidtrans() {
		err = fmt.Errorf("--list is of scenarios, which are for midtrans; midhook send --gateway %s --list prints the samples", p.gateway.Name)
	}
	if err != nil {
		return misused(stderr, flags, err)
	}
	if *list {
		listScenarios(ctx, stdout, *asJSON)
		return exitOK
	}
	target, err := targetOf(operands)
	if err == nil {
		err = p.check(ctx)
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

	p.url, p.stderr = target.String(), &progress{w: stderr, key: p.key}
	if *insecure || !p.gateway.isMidtrans() {
		p.client = p.gateway.client(*insecure)
		defer p.client.CloseIdleConnections()
	}
	line := p.run(ctx)
	line.Gateway, line.company = p.gateway.Name, p.gateway.company
	line.Target, line.Speed, line.Seed = shownTarget(target), p.speed, p.seed
	line.Interrupted = ctx.Err() != nil
	line.clean(p.key)
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

// maxCount keeps a timeline readable.
const maxCount = 100

// check refuses what cannot be played, and fills in what is played by default.
func (p *playing) check(ctx context.Context) error {
	switch {
	case !(p.speed > 0) || math.IsInf(p.speed, 0):
		return errors.New("--speed must be positive")
	case len(p.scenarios) > 0 && !p.gateway.isMidtrans():
		return errors.New("--scenario is for midtrans: the scenarios are made of its notifications")
	case len(p.samples) > 0 && len(p.scenarios) > 0:
		return errors.New("it is either --sample or --scenario")
	case p.count < 1 || p.count > maxCount:
		return fmt.Errorf("--count must be 1 to %d", maxCount)
	case p.count > 1 && len(p.scenarios) > 0:
		return errors.New("--count is for samples, not for --scenario")
	case !prefixText.MatchString(p.prefix):
		return errors.New("--prefix must be up to 20 letters, digits, dots, hyphens, underscores and tildes")
	}
	if len(p.samples)+len(p.scenarios) == 0 {
		p.samples = []string{p.gateway.sample}
	}
	for _, name := range p.samples {
		if err := p.gateway.checkSample(name); err != nil {
			return err
		}
	}
	if slices.Contains(p.scenarios, "all") {
		p.scenarios = nil
		for _, s := range midhooktest.Scenarios() {
			p.scenarios = append(p.scenarios, s.Name)
		}
		return p.gateway.checkKey(p.key)
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
	return p.gateway.checkKey(p.key)
}

// progress tells each attempt as it is made.
type progress struct {
	mu  sync.Mutex
	w   io.Writer
	key string
}

func (p *progress) tell(event string, a midhooktest.Attempt) {
	line := strings.ReplaceAll(printable(redact(event+": "+a.String(), p.key)), "\n", " ")
	p.mu.Lock()
	defer p.mu.Unlock()
	fmt.Fprintln(p.w, line)
}

// sender delivers one event of that name, or if it is empty notifications.
func (p *playing) sender(event string) *midhooktest.Engine {
	return &midhooktest.Engine{
		URL: p.url, Client: p.client, Secret: p.key, Sender: &p.gateway.Sender, Speed: p.speed, Seed: p.seed,
		OnAttempt: func(n *midhook.Notification, a midhooktest.Attempt) {
			name := event
			if name == "" {
				name = eventName(n)
			}
			p.stderr.tell(name, a)
		},
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
