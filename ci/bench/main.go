// Command bench compares midhook with a hand-written receiver, with the least that any
// receiver must do, and with an empty handler, in one run, and prints one table. With
// -load it prints another one: what a server with midhook does under load, by the
// connections, the requests, the store and what it remembers, and in a burst.
//
// Each figure comes from pairs: one side, then the other, in turn, so that a machine
// whose speed drifts slows both. A ratio is the median of the pairs' ratios.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"syscall"
	"time"
)

func main() {
	if serveIfAsked() {
		return
	}
	pairs := flag.Int("pairs", 9, "how many pairs are measured")
	events := flag.Int("events", 20000, "deliveries in each measurement, each of a new event")
	seconds := flag.Duration("loopback", 2*time.Second, "how long each loopback measurement lasts; 0 leaves them out")
	underLoad := flag.Bool("load", false, "print the table under load instead; -for, -rounds, -only and -speed are for it")
	s := sweep{out: os.Stdout}
	flag.DurationVar(&s.lasts, "for", 2*time.Second, "how long each measurement lasts")
	flag.IntVar(&s.rounds, "rounds", 3, "how many times each is made")
	flag.StringVar(&s.only, "only", "", "only what this `regexp` matches: connections, requests, stores, remembered, burst, or the text of a row")
	flag.Float64Var(&s.burst.speed, "speed", 20, "how many times as fast as Midtrans the burst is played; at 1 it takes a quarter of an hour")
	flag.Parse()

	if *underLoad {
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
		defer stop()
		fatal(s.run(ctx)) // with all servers ended
		return
	}
	fmt.Printf("%s, %d CPUs, %d pairs of %d deliveries\n", runtime.Version(), runtime.NumCPU(), *pairs, *events)
	inProcess(*pairs, *events)
	store(*pairs)
	if *seconds > 0 {
		fatal(leaveServerCore())
		loopback(*pairs, *seconds)
	}
}

func fatal(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}
