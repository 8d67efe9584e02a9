// Command midhook shows how midhook answers Midtrans' notifications.
//
//	go run github.com/midhook/midhook/cmd/midhook@latest demo
//
// sends an example merchant on this machine what Midtrans would, and prints what
// it answered, whether its handler ran, and why. With --serve ADDR the merchant
// stays up, for curl. "midhook help" lists all commands.
package main

import (
	"bytes"
	"context"
	"errors"
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

var commands = []command{
	{"demo", "send an example merchant what Midtrans would, and show its answers", demo},
	{"version", "print the version", version},
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
	}
	for _, c := range commands {
		if c.name == name {
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
		fmt.Fprintf(w, "  %-8s  %s\n", c.name, c.summary)
	}
	fmt.Fprintf(w, "  %-8s  %s\n", "help", "print this, or with a command its flags")
}

// parse reads the flags of a command that takes no arguments. If done, the
// command has nothing left to do but to return code.
func parse(flags *flag.FlagSet, args []string, stdout, stderr io.Writer) (code int, done bool) {
	var text bytes.Buffer
	flags.SetOutput(&text)
	flags.Usage = func() {
		fmt.Fprintf(&text, "Usage: midhook %s [FLAGS]\n", flags.Name())
		flags.PrintDefaults()
	}
	err := flags.Parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		_, _ = text.WriteTo(stdout)
		return exitOK, true
	case err == nil && flags.NArg() > 0:
		fmt.Fprintf(&text, "unexpected argument %q\n", flags.Arg(0))
		flags.Usage()
		fallthrough
	case err != nil:
		fmt.Fprintf(stderr, "midhook %s: ", flags.Name())
		_, _ = text.WriteTo(stderr)
		return exitUsage, true
	}
	return 0, false
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
