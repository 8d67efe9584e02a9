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
	"net/url"
	"os"
	"regexp"
	"strings"
	"unicode"
)

// manual is what -h says of a command, beside its flags.
type manual struct {
	operands string // after the flags
	about    string
	examples []string
	exit     [2]string // when the exit code is 0, and when 1
}

// parse reads the flags of a command that takes no operands. If done, the
// command has nothing left to do but to return code.
func parse(flags *flag.FlagSet, args []string, stdout, stderr io.Writer) (code int, done bool) {
	_, code, done = parseOperands(flags, 0, 0, args, stdout, stderr)
	return code, done
}

// parseOperands reads flags and from least to most operands, in any order.
func parseOperands(flags *flag.FlagSet, least, most int, args []string, stdout, stderr io.Writer) (operands []string, code int, done bool) {
	flags.SetOutput(io.Discard)
	for len(args) > 0 {
		err := flags.Parse(args)
		if errors.Is(err, flag.ErrHelp) {
			help(flags, stdout)
			return nil, exitOK, true
		}
		if err != nil {
			return nil, misused(stderr, flags, err), true
		}
		taken, rest := len(args)-flags.NArg(), flags.Args()
		switch {
		case taken > 0 && args[taken-1] == "--":
			operands, args = append(operands, rest...), nil
		case len(rest) > 0:
			operands, args = append(operands, rest[0]), rest[1:]
		default:
			args = nil
		}
	}
	switch {
	case len(operands) > most:
		return nil, misused(stderr, flags, fmt.Errorf("unexpected argument %q", operands[most])), true
	case len(operands) < least:
		return nil, misused(stderr, flags, fmt.Errorf("an argument is missing: %s", manuals[flags.Name()].operands)), true
	}
	return operands, 0, false
}

func help(flags *flag.FlagSet, w io.Writer) {
	m := manuals[flags.Name()]
	fmt.Fprintf(w, "Usage: %s\n\n%s\n", strings.TrimSpace("midhook "+flags.Name()+" [FLAGS] "+m.operands), m.about)
	var rows [][2]string
	width := 0
	flags.VisitAll(func(f *flag.Flag) {
		value, text := flag.UnquoteUsage(f)
		if f.DefValue != "" && f.DefValue != "false" && f.DefValue != "0" && f.DefValue != "0s" {
			text += fmt.Sprintf(" (default %s)", f.DefValue)
		}
		name := "--" + strings.TrimSpace(f.Name+" "+value)
		rows, width = append(rows, [2]string{name, text}), max(width, len(name))
	})
	if len(rows) > 0 {
		fmt.Fprint(w, "\nFlags:\n")
	}
	for _, row := range rows {
		text := strings.ReplaceAll(row[1], "\n", "\n"+strings.Repeat(" ", width+4))
		fmt.Fprintf(w, "  %-*s  %s\n", width, row[0], text)
	}
	fmt.Fprintf(w, "\nExamples:\n  %s\n", strings.Join(m.examples, "\n  "))
	fmt.Fprintf(w, "\nExit code:\n  0  %s\n  1  %s\n  2  a mistake in the command line\n", m.exit[0], m.exit[1])
}

// misused reports a mistake in the command line.
func misused(stderr io.Writer, flags *flag.FlagSet, err error) int {
	fmt.Fprintf(stderr, "midhook %s: %s\nFor help: midhook %[1]s -h\n", flags.Name(), redact(err.Error(), keyOf(flags)))
	return exitUsage
}

// failed reports why a command could not do its work.
func failed(ctx context.Context, stderr io.Writer, flags *flag.FlagSet, err error) int {
	if ctx.Err() != nil {
		err = errors.New("interrupted")
	}
	fmt.Fprintf(stderr, "midhook %s: %s\n", flags.Name(), printable(redact(err.Error(), keyOf(flags))))
	return exitWrong
}

// keyOf is the secret of --key, as far as the flags were read.
func keyOf(flags *flag.FlagSet) string {
	if f := flags.Lookup("key"); f != nil {
		return f.Value.String()
	}
	return ""
}

const keyVariable = "MIDTRANS_SERVER_KEY"

// keyFlag defines --key. The environment's key is no default of it, for help
// prints defaults.
func keyFlag(flags *flag.FlagSet) func() string {
	key := flags.String("key", "", "the server `KEY`; better in $"+keyVariable+", which other users of this machine\ncannot see. It is never printed")
	return func() string { return cmp.Or(*key, os.Getenv(keyVariable)) }
}

func jsonFlag(flags *flag.FlagSet) *bool {
	return flags.Bool("json", false, "print one JSON object instead of text")
}

const urlVariable = "MIDHOOK_URL"

// targetOf reads the URL of the command line, or else that of the environment.
func targetOf(operands []string) (*url.URL, error) {
	text := os.Getenv(urlVariable)
	if len(operands) > 0 {
		text = operands[0]
	}
	if text == "" {
		return nil, errors.New("an argument is missing: URL, or set $" + urlVariable)
	}
	return parseTarget(text)
}

// parseTarget reads the URL of an endpoint.
func parseTarget(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return nil, errors.New("the URL cannot be read: one such as https://shop.example/midtrans is required")
	case u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "":
		return nil, fmt.Errorf("URL %q: one such as https://shop.example/midtrans is required", text)
	case u.User != nil || u.Fragment != "":
		return nil, errors.New("the URL must have neither a user nor a fragment: no gateway would send them")
	}
	if u.Path == "" {
		u.Path = "/"
	}
	return u, nil
}

// maxInput is far more than any notification, or answer to one.
const maxInput = 16 << 20

// readInput reads a file, or stdin if it is "-", until ctx is done.
func readInput(ctx context.Context, file string) ([]byte, error) {
	in := os.Stdin
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		in = f
	}
	type read struct {
		body []byte
		err  error
	}
	done := make(chan read, 1)
	go func() {
		body, err := io.ReadAll(io.LimitReader(in, maxInput+1))
		done <- read{body, err}
	}()
	select {
	case r := <-done:
		if r.err == nil && len(r.body) > maxInput {
			r.err = fmt.Errorf("%s has more than %d MiB", file, maxInput>>20)
		}
		return r.body, r.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

var (
	digestText = regexp.MustCompile(`[0-9A-Fa-f]{64,}`)
	keyText    = regexp.MustCompile(`(SB-)?Mid-server-[0-9A-Za-z_-]+|IRIS-[0-9a-z][0-9A-Za-z_-]*|\b(skey|sk_live|sk_test|whsk)_[0-9A-Za-z_-]+`)
	tokenText  = regexp.MustCompile(`("(?:token|saved_token_id)"\s*:\s*)"[^"]*"`)
)

// redact takes keys, tokens and signatures out of a text, and the secrets of the
// environment: a signed body is as good as the key to whoever reads it in a
// terminal's history or a build's log.
func redact(text, key string) string {
	keys := []string{key}
	for _, g := range gateways {
		keys = append(keys, os.Getenv(g.variable))
	}
	for _, key := range keys {
		if len(key) >= 6 { // a shorter one is part of anything
			text = strings.ReplaceAll(text, key, "[key]")
		}
	}
	text = keyText.ReplaceAllString(text, "[key]")
	text = tokenText.ReplaceAllString(text, `$1"[token]"`)
	return digestText.ReplaceAllString(text, "[signature]")
}

// printable keeps a server's text from commanding the terminal.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' || unicode.IsPrint(r) {
			return r
		}
		return '·'
	}, strings.ToValidUTF8(text, "·"))
}

func writeJSON(w io.Writer, v any) {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	_ = enc.Encode(v) // of our own types, to a stream whose loss nobody can be told of
}

// screen is stdout: headings, columns and colours for a person, plain lines of
// cells between tabs for a program.
type screen struct {
	io.Writer
	terminal, colour bool
}

func isTerminal(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0 && info.Name() != "null"
}

func newScreen(w io.Writer) screen {
	s := screen{Writer: w}
	if f, ok := w.(*os.File); ok {
		s.terminal = isTerminal(f)
	}
	s.colour = s.terminal && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
	return s
}

const (
	bold   = "1"
	red    = "31"
	green  = "32"
	yellow = "33"
)

func (s screen) paint(colour, text string) string {
	if !s.colour || colour == "" {
		return text
	}
	return "\x1b[" + colour + "m" + text + "\x1b[0m"
}

// row prints cells, the first one in colour, in columns of these widths.
func (s screen) row(widths []int, colour string, cells ...string) {
	if !s.terminal {
		fmt.Fprintln(s, strings.Join(cells, "\t"))
		return
	}
	var line bytes.Buffer
	for i, cell := range cells {
		if i < len(widths) {
			cell = fmt.Sprintf("%-*s  ", widths[i], cell)
		}
		if i == 0 {
			cell = s.paint(colour, cell)
		}
		line.WriteString(cell)
	}
	fmt.Fprintln(s, strings.TrimRight(line.String(), " "))
}

// remark is for a person only.
func (s screen) remark(format string, args ...any) {
	if s.terminal {
		fmt.Fprintf(s, format, args...)
	}
}
