package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"runtime"
	"slices"
	"time"

	"github.com/midhook/midhook/ci/loadkit"
	"github.com/midhook/midhook/internal/servers"
)

// sweep is the table under load.
type sweep struct {
	out    io.Writer
	lasts  time.Duration
	rounds int
	only   string
	burst  burst
}

// part varies one thing of the base case.
type part struct {
	name string
	rows []row
}

type row struct {
	name string
	trial
}

// base is 16 connections of HTTP/1.1, new events, and the store in memory.
func base(change func(*trial)) trial {
	t := trial{setup: setup{Handler: "midhook"}, kind: newEvents, connections: 16}
	change(&t)
	return t
}

func parts() []part {
	connections := part{name: "connections"}
	for _, http2 := range []bool{false, true} {
		for _, n := range []int{1, 16, 256} {
			name := "HTTP/1.1, " + plural(n, "connection", "connections")
			if http2 {
				name = "HTTP/2, " + plural(n, "connection", "connections")
			}
			connections.rows = append(connections.rows, row{name, base(func(t *trial) { t.http2, t.connections = http2, n })})
		}
	}
	connections.rows = append(connections.rows, row{"HTTP/2, 1 connection, 16 streams", base(func(t *trial) { t.http2, t.connections, t.streams = true, 1, 16 })})

	requests := part{name: "requests"}
	for _, kind := range []string{duplicates, forgeries, mixed} {
		requests.rows = append(requests.rows, row{kind, base(func(t *trial) { t.kind = kind })})
	}
	requests.rows = append(requests.rows, row{mixed + ", HTTP/2", base(func(t *trial) { t.kind, t.http2 = mixed, true })})

	stores := part{name: "stores"}
	for _, store := range []string{redisName, postgresName} {
		for _, kind := range []string{newEvents, duplicates} {
			stores.rows = append(stores.rows, row{store + ", " + kind, base(func(t *trial) { t.Store, t.kind = store, kind })})
		}
	}
	stores.rows = append(stores.rows, row{postgresName + ", the demo shop", base(func(t *trial) { t.Handler, t.Store = "shop", postgresName })})

	remembered := part{name: "remembered"}
	for _, n := range []int{1, 10_000, 1_000_000} {
		remembered.rows = append(remembered.rows, row{plural(n, "event", "events"), base(func(t *trial) {
			// The store is full, and stays so: events in flight have room beside the others.
			t.Remembered, t.Size = n, n+t.connections
		})})
	}
	return []part{connections, requests, stores, remembered}
}

const burstName = "burst"

// run ends early when ctx does.
func (s sweep) run(ctx context.Context) error {
	chosen, err := regexp.Compile(s.only)
	switch {
	case err != nil:
		return err
	case s.lasts <= 0, s.rounds < 1, s.burst.speed <= 0:
		return errors.New("-for, -rounds and -speed must be positive")
	}
	cores := loadkit.Cores()
	if err := leaveServerCore(); err != nil {
		return err
	}
	fmt.Fprintf(s.out, "%s, %s, load of the machine %s, each figure from %s of %v\n", runtime.Version(), plural(len(cores), "core", "cores"), loadkit.MachineLoad(), plural(s.rounds, "measurement", "measurements"), s.lasts)
	if len(cores) < 2 {
		fmt.Fprintln(s.out, "server, client and stores share a core: ratios and latencies say little")
	}
	var stores backends
	defer stores.stop()
	var failed []error
	for _, p := range parts() {
		failed = append(failed, s.part(ctx, p, chosen, &stores))
	}
	if chosen.MatchString(burstName) && ctx.Err() == nil {
		b := afterOutage
		b.speed = s.burst.speed
		failed = append(failed, s.playBurst(ctx, b))
	}
	fmt.Fprintf(s.out, "\nload of the machine at the end %s\n", loadkit.MachineLoad())
	return errors.Join(append(failed, context.Cause(ctx))...)
}

func (s sweep) playBurst(ctx context.Context, b burst) error {
	a, err := b.play(ctx)
	if err != nil {
		return err
	}
	a.print(s.out)
	return a.judge()
}

func (s sweep) part(ctx context.Context, p part, chosen *regexp.Regexp, stores *backends) error {
	rows := p.rows
	if !chosen.MatchString(p.name) {
		rows = slices.DeleteFunc(slices.Clone(rows), func(r row) bool { return !chosen.MatchString(r.name) })
	}
	if len(rows) == 0 || ctx.Err() != nil {
		return nil
	}
	fmt.Fprintf(s.out, "\n%-33s %10s %8s %9s %8s %8s %8s %10s %8s %10s %7s %7s\n", p.name, "requests/s", "of empty", "of hand's", "p50", "p99", "p99.9", "empty's", "heap", "goroutines", "server", "client")
	var failed []error
	for _, r := range rows {
		err := s.row(r, stores)
		if ctx.Err() != nil {
			break // the servers were interrupted, too
		}
		if _, missing := errors.AsType[*servers.NotInstalledError](err); missing {
			fmt.Fprintf(s.out, "  %-31s left out: %v\n", r.name, err)
			continue
		}
		if err != nil {
			fmt.Fprintf(s.out, "  %-31s failed: %v\n", r.name, err)
			failed = append(failed, fmt.Errorf("%s, %s: %w", p.name, r.name, err))
		}
	}
	return errors.Join(failed...)
}
