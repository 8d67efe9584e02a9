// Command soak runs a server with midhook on one core, and beside it on another one
// genuine notifications, a flood of forged ones, bodies that do not arrive and peers
// that do not read, over HTTP/1.1 and HTTP/2. It prints one table, and fails unless
// every genuine notification was answered within its budget and handled exactly once,
// memory stayed flat and no goroutine was left. Nothing leaves this machine.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/midhook/midhook/ci/loadkit"
)

const serverKey = "SB-Mid-server-test-key-0001"

// plan is what the flags say.
type plan struct {
	lasts, budget                 time.Duration
	forged, genuine, slow, unread int
}

func main() {
	var p plan
	flag.DurationVar(&p.lasts, "for", 10*time.Minute, "how long the load lasts")
	flag.DurationVar(&p.budget, "budget", 5*time.Second, "midhook's budget")
	flag.IntVar(&p.forged, "forged", 10000, "forged requests a second, half of them over HTTP/2")
	flag.IntVar(&p.genuine, "genuine", 50, "new genuine events a second, each with duplicates")
	flag.IntVar(&p.slow, "slow", 2000, "bodies that do not arrive, at once, half of them over HTTP/2")
	flag.IntVar(&p.unread, "unread", 100, "connections of peers that do not read, a tenth more over HTTP/2")
	role := flag.String("role", "", "internal: serve, or attack the address of -at")
	at := flag.String("at", "", "internal: the server's address")
	flag.Parse()
	switch {
	case p.lasts <= 0, p.budget <= 0, p.forged < 1, p.genuine < 1, p.slow < 0, p.unread < 0:
		fatal(errors.New("every flag must be positive"))
	case *role == "serve":
		serve(p.budget)
	case *role == "attack":
		runAttack(*at, p)
	default:
		if !soak(p) {
			os.Exit(1)
		}
	}
}

// soak is the first process, which sends the genuine notifications and judges.
func soak(p plan) bool {
	f := &findings{plan: p, handled: map[string]int{}, loadBefore: loadkit.MachineLoad()}
	server := startServer(p, f)
	f.before = server.ask()

	attacker := command(otherCore, "-role", "attack", "-at", server.address)
	var said strings.Builder
	attacker.Stdout = &said
	fatal(attacker.Start())
	defer func() { _ = attacker.Process.Kill() }()

	genuine := newMidtrans(server.address)
	ctx, cancel := context.WithTimeout(context.Background(), p.lasts)
	defer cancel()
	go measureDelay(ctx, &genuine.delays)
	for _, client := range genuine.clients {
		go measureEmpty(ctx, server.address, client, &genuine.empty)
	}
	go func() {
		genuine.send(ctx, p.genuine)
		cancel()
	}()
	f.under = samples(ctx, p, server.ask)
	<-ctx.Done()
	f.loadAfter = loadkit.MachineLoad()
	genuine.wait()
	fatal(attacker.Wait())
	fatal(json.Unmarshal([]byte(said.String()), &f.attack))
	f.after = server.settled(f.before)
	server.stop()

	f.genuine = genuine
	f.serverCPU, f.attackCPU = loadkit.CPU(server.process), loadkit.CPU(attacker)
	f.judge()
	f.print()
	return len(f.broken) == 0
}

// samples asks for the server's state four times: when the load is complete, and three
// times until it ends.
func samples(ctx context.Context, p plan, ask func() serverState) (states []serverState) {
	complete := min(3*p.budget, p.lasts/2)
	began := time.Now()
	for _, part := range []float64{0, 0.33, 0.66, 0.98} {
		select {
		case <-time.After(time.Until(began.Add(complete + time.Duration(part*float64(p.lasts-complete))))):
			states = append(states, ask())
		case <-ctx.Done():
			return states
		}
	}
	return states
}

// The server has a core of its own where there is more than one.
const (
	serverCore = 0
	otherCore  = 1
)

// command runs this program in another role, with the flags of this one.
func command(core int, args ...string) *exec.Cmd {
	flag.Visit(func(f *flag.Flag) { args = append(args, "-"+f.Name+"="+f.Value.String()) })
	cmd, err := loadkit.Command(core, args...)
	fatal(err)
	return cmd
}

func fatal(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "soak:", err)
		os.Exit(1)
	}
}
