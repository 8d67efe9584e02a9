// Command midhook is Midtrans on your own machine: it sends your server what
// Midtrans would, and what a stranger might, and says what is wrong. It sends what
// Midtrans' payouts and subscriptions, Opn and PayMongo would, too.
//
//	go run github.com/midhook/midhook/cmd/midhook@latest demo
//
// sends an example merchant on this machine what Midtrans would, and prints what
// it answered, whether its handler ran, and why. "midhook help" lists all
// commands, "midhook COMMAND -h" shows the flags of one, with examples.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"syscall"
)

// The exit codes of every command.
const (
	exitOK    = 0
	exitWrong = 1 // it ran, and not all is well
	exitUsage = 2
)

// command is one subcommand. It ends when its work is done or ctx is, which
// Ctrl-C ends, and returns the exit code.
type command struct {
	name, summary string
	run           func(ctx context.Context, args []string, stdout, stderr io.Writer) int
}

var commands []command

// init fills in commands, because completion refers to them.
func init() { commands = commandTable() }

func commandTable() []command {
	return []command{
		{"demo", "send an example merchant what Midtrans would, and show its answers", demo},
		{"send", "send your server a signed notification, or another gateway's event", send},
		{"play", "play Midtrans, or another gateway, to your server, with all retries, in fast motion", play},
		{"attack", "try on your server what a stranger could", attack},
		{"status", "stand in for Midtrans' status API", status},
		{"verify", "tell whether a key signed a body, and if not, why", verify},
		{"doctor", "examine a deployed endpoint as Midtrans will find it", doctor},
		{"completion", "print a script that completes commands and flags in a shell", completion},
		{"version", "print the version", version},
	}
}

// overview has the name and summary of each command.
func overview() (list [][2]string) {
	for _, c := range commands {
		list = append(list, [2]string{c.name, c.summary})
	}
	return list
}

// manuals has what -h says of each command. It is apart from commands, which
// refer to it.
var manuals = map[string]manual{
	"demo": {
		about:    "Sends an example merchant on this machine what Midtrans would, and prints what\nit answered, whether its handler ran, and why.",
		examples: []string{"midhook demo", "midhook demo --serve 127.0.0.1:8080"},
		exit:     [2]string{"all came out as expected", "something did not"},
	},
	"send":       sendManual,
	"play":       playManual,
	"attack":     attackManual,
	"status":     statusManual,
	"verify":     verifyManual,
	"doctor":     doctorManual,
	"completion": completionManual,
	"version": {
		about:    "Prints the version.",
		examples: []string{"midhook version"},
		exit:     [2]string{"always", "never"},
	},
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second Ctrl-C does not wait
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	if len(args) == 0 {
		usage(stderr)
		return exitUsage
	}
	name, rest := args[0], args[1:]
	switch name {
	case "help", "-h", "-help", "--help":
		if len(rest) == 0 {
			usage(stdout)
			return exitOK
		}
		name, rest = rest[0], []string{"-h"}
	case "-version", "--version":
		name = "version"
	}
	for _, c := range commands {
		if c.name == name {
			if name == "send" || name == "attack" || name == "doctor" { // the others print as they go
				defer tellProgress(stderr, name)()
			}
			return c.run(ctx, rest, stdout, stderr)
		}
	}
	fmt.Fprintf(stderr, "midhook: there is no command %q\n\n", name)
	usage(stderr)
	return exitUsage
}

func usage(w io.Writer) {
	fmt.Fprint(w, "Usage: midhook COMMAND [FLAGS]\n\n")
	for _, c := range commands {
		fmt.Fprintf(w, "  %-10s  %s\n", c.name, c.summary)
	}
	fmt.Fprintf(w, "  %-10s  %s\n", "help", "print this, or with a command its flags and examples")
	fmt.Fprintf(w, "\n$%s is the URL of send, play, attack and doctor where none is given.\n", urlVariable)
	fmt.Fprint(w, "\nExit code: 0 if all is well, 1 if it is not, 2 for a mistake in the command line.\n")
}

func version(_ context.Context, args []string, stdout, stderr io.Writer) int {
	if code, done := parse(flag.NewFlagSet("version", flag.ContinueOnError), args, stdout, stderr); done {
		return code
	}
	number := "(unknown)"
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		number = info.Main.Version
	}
	fmt.Fprintf(stdout, "midhook %s %s %s/%s\n", number, runtime.Version(), runtime.GOOS, runtime.GOARCH)
	return exitOK
}
