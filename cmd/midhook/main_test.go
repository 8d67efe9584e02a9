package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/midhook/midhook"
	"github.com/midhook/midhook/midhooktest"
)

var binary string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "midhook")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		binary = filepath.Join(dir, "midhook")
		if runtime.GOOS == "windows" {
			binary += ".exe"
		}
		if out, err := exec.Command("go", "build", "-buildvcs=false", "-o", binary, ".").CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "%v\n%s", err, out)
			return 1
		}
		return m.Run()
	}())
}

// midhookCommand runs the built binary.
func midhookCommand(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, args...)
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	if err := cmd.Run(); err != nil && !errors.As(err, new(*exec.ExitError)) {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), out.String(), errOut.String()
}

func TestCommandLine(t *testing.T) {
	for _, c := range []struct {
		args           string
		code           int
		stdout, stderr string // what they must contain; nothing if empty
	}{
		{"", 2, "", "Usage: midhook COMMAND"},
		{"help", 0, "demo", ""},
		{"-h", 0, "demo", ""},
		{"--help", 0, "demo", ""},
		{"help demo", 0, "-serve ADDR", ""},
		{"demo -h", 0, "-serve ADDR", ""},
		{"help nonsense", 2, "", `no command "nonsense"`},
		{"nonsense", 2, "", `no command "nonsense"`},
		{"demo --nonsense", 2, "", "-nonsense"},
		{"demo nonsense", 2, "", `unexpected argument "nonsense"`},
		{"demo --serve nonsense", 1, "", "midhook demo: listen"},
		{"version", 0, "midhook ", ""},
		{"version nonsense", 2, "", `unexpected argument "nonsense"`},
	} {
		t.Run(c.args, func(t *testing.T) {
			code, stdout, stderr := midhookCommand(t, strings.Fields(c.args)...)
			if code != c.code {
				t.Errorf("exit code is %d, want %d", code, c.code)
			}
			for _, stream := range []struct{ name, got, want string }{{"stdout", stdout, c.stdout}, {"stderr", stderr, c.stderr}} {
				if !strings.Contains(stream.got, stream.want) || stream.want == "" && stream.got != "" {
					t.Errorf("%s is %q, want %q in it", stream.name, stream.got, stream.want)
				}
			}
		})
	}
}

func TestDemo(t *testing.T) {
	code, stdout, stderr := midhookCommand(t, "demo")
	if code != 0 || stderr != "" {
		t.Errorf("exit code is %d, stderr %q", code, stderr)
	}
	for _, line := range strings.Split(stdout, "\n") {
		if utf8.RuneCountInString(line) > 120 {
			t.Errorf("too wide for a terminal: %s", line)
		}
		if strings.HasPrefix(line, "!") {
			t.Errorf("not as expected: %s", line)
		}
	}
	rows := 0
	for _, scene := range scenario() {
		if !strings.Contains(stdout, "\n\n"+scene.title+"\n"+scene.about+"  sent ") {
			t.Errorf("no heading %q", scene.title)
		}
		for _, s := range scene.steps {
			rows++
			row := regexp.MustCompile(`(?m)^  ` + regexp.QuoteMeta(s.sent) + fmt.Sprintf(`  +%d  +`, s.status) +
				regexp.QuoteMeta(handler(s.ran)) + `  +` + regexp.QuoteMeta(s.why) + `$`)
			if !row.MatchString(stdout) {
				t.Errorf("no row %s", row)
			}
		}
	}
	if want := fmt.Sprintf("All %d requests came out as expected.", rows); !strings.Contains(stdout, want) {
		t.Errorf("stdout does not say %q", want)
	}
	if t.Failed() {
		t.Log(stdout)
	}
}

// Whoever adds a payment method to the samples adds it to the demo.
func TestDemoSendsEveryPaidSample(t *testing.T) {
	sent := map[string]bool{}
	for _, scene := range scenario() {
		for _, s := range scene.steps {
			sent[s.sample] = true
		}
	}
	for _, name := range midhooktest.Samples() {
		if midhooktest.Sample(name).Paid() && !sent[name] {
			t.Errorf("no step sends %s", name)
		}
	}
}

// The demo is a check, too: it must see what is wrong.
func TestDemoMarksWhatIsNotAsExpected(t *testing.T) {
	right := paid("right", "gopay")
	for name, spoil := range map[string]func(*step){
		"status":  func(s *step) { s.status = 503 },
		"handler": func(s *step) { s.ran = "" },
		"outcome": func(s *step) { s.outcome = midhook.OutcomeDuplicate },
	} {
		t.Run(name, func(t *testing.T) {
			wrong := paid("wrong", "qris")
			spoil(&wrong)
			var out bytes.Buffer
			asExpected, err := play(t.Context(), []scene{{title: "SCENE", steps: []step{right, wrong}}}, &out, slog.New(slog.DiscardHandler))
			if err != nil {
				t.Fatal(err)
			}
			if asExpected {
				t.Error("play reports that all was as expected")
			}
			for _, want := range []string{"\n  right ", "\n! wrong ", "EXPECTED", "1 of 2 requests"} {
				if !strings.Contains(out.String(), want) {
					t.Errorf("no %q in\n%s", want, &out)
				}
			}
		})
	}
	t.Run("edit that edits nothing", func(t *testing.T) {
		right.edit = [2]string{"nonsense", "x"}
		if _, err := right.request(t.Context(), "http://127.0.0.1"); err == nil {
			t.Error("no error")
		}
	})
}

// What the protected merchants refuse, and that their handlers run for what is
// true, is due to the protection: without it the demo fails.
func TestDemoNeedsItsProtection(t *testing.T) {
	unprotected := 0
	for _, s := range scenario() {
		for name, weaken := range map[string]func(*scene) bool{
			"WithStatusCheck": func(s *scene) bool { had := s.truth != nil; s.truth = nil; return had && s.costs == nil },
			"WithExpectation": func(s *scene) bool { had := s.costs != nil; s.costs = nil; return had },
		} {
			weak := s
			if !weaken(&weak) {
				continue
			}
			unprotected++
			t.Run(s.title+" without "+name, func(t *testing.T) {
				var out bytes.Buffer
				asExpected, err := play(t.Context(), []scene{weak}, &out, slog.New(slog.DiscardHandler))
				if err != nil || asExpected {
					t.Errorf("all as expected: %v, %v\n%s", asExpected, err, &out)
				}
			})
		}
	}
	if unprotected != 2 {
		t.Errorf("%d protections were taken away", unprotected)
	}
}

// The forger makes nothing but the edit: the rest of the body is, byte for byte,
// what the status API answers about the cancelled order. And it is no forgery by
// its signature.
func TestForgeryIsTheStatusAPIsAnswer(t *testing.T) {
	forgeries := 0
	for _, s := range scenario() {
		for i, step := range s.steps {
			if step.edit != [2]string{`"cancel"`, `"settlement"`} {
				continue
			}
			forgeries++
			api := midhooktest.NewStatusServer(serverKey)
			defer api.Close()
			cancelled := s.steps[i-1] // what the merchant was told of the order
			api.Put(midhooktest.Sample(cancelled.sample, cancelled.tweaks...))
			n, err := api.Client().Get(t.Context(), "order-9")
			if err != nil || n.TransactionStatus != midhook.StatusCancel {
				t.Fatalf("the status API: %v", err)
			}

			r, err := step.request(t.Context(), "http://127.0.0.1")
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(r.Body)
			if err != nil {
				t.Fatal(err)
			}
			if want := strings.Replace(string(n.Raw()), `"cancel"`, `"settlement"`, 1); string(body) != want {
				t.Errorf("the forgery is\n%s\nwant\n%s", body, want)
			}
			forged, err := midhook.Parse(body)
			if err != nil || midhook.Verify(forged, serverKey) != nil || !forged.Paid() {
				t.Errorf("it does not pass for a payment: %s", body)
			}
		}
	}
	if forgeries != 2 {
		t.Errorf("%d forgeries: one merchant is to be deceived, and one is not", forgeries)
	}
}

// In this process, for the race detector.
func TestDemoVerbose(t *testing.T) {
	var stdout, stderr bytes.Buffer
	if code := run(t.Context(), []string{"demo", "--verbose"}, &stdout, &stderr); code != 0 {
		t.Errorf("exit code is %d\n%s", code, &stdout)
	}
	if !strings.Contains(stderr.String(), "midhook: late_handled") {
		t.Errorf("no log of the merchant in %q", &stderr)
	}
}

func TestInterruptedDemo(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var stdout, stderr bytes.Buffer
	if code := run(ctx, []string{"demo"}, &stdout, &stderr); code != exitWrong || stderr.Len() == 0 {
		t.Errorf("exit code is %d, stderr %q", code, &stderr)
	}
}

func TestServe(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no interrupts")
	}
	cmd := exec.Command(binary, "demo", "--serve", "127.0.0.1:0")
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	kill := time.AfterFunc(time.Minute, func() { _ = cmd.Process.Kill() })
	defer kill.Stop()
	defer func() { _ = cmd.Process.Kill() }()

	lines := bufio.NewReader(stdout)
	var line string
	for !strings.HasPrefix(line, "curl ") {
		if line, err = lines.ReadString('\n'); err != nil {
			t.Fatalf("no curl command: %v", err)
		}
	}

	parts := regexp.MustCompile(`^curl -i (http://\S+) -H '(.*?): (.*?)' -H '(.*?): (.*?)' -d '([^']*)'\n$`).FindStringSubmatch(line)
	if parts == nil {
		t.Fatalf("not the expected curl command: %s", line)
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, parts[1], strings.NewReader(parts[6]))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set(parts[2], parts[3])
	r.Header.Set(parts[4], parts[5])
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	if err != nil || resp.StatusCode != 200 || string(body) != "handled\n" {
		t.Errorf("answer is %d %q, %v", resp.StatusCode, body, err)
	}

	if _, err := exec.LookPath("curl"); err == nil {
		out, err := exec.CommandContext(t.Context(), "sh", "-c", line).Output()
		if err != nil || !bytes.HasPrefix(out, []byte("HTTP/1.1 200 ")) || !bytes.HasSuffix(out, []byte("already handled\n")) {
			t.Errorf("curl: %v\n%s", err, out)
		}
	}

	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	rest, err := io.ReadAll(lines)
	if err != nil {
		t.Error(err)
	}
	if want := `200 handled: order "curl-1" "settlement" 154600.00`; !strings.Contains(string(rest), want) {
		t.Errorf("no %q in %q", want, rest)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("after an interrupt: %v", err)
	}
}

func TestReachable(t *testing.T) {
	for listen, want := range map[string]string{":0": "127.0.0.1:", "127.0.0.1:0": "127.0.0.1:"} {
		l, err := net.Listen("tcp", listen)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		if got := reachable(l.Addr()); !strings.HasPrefix(got, want) {
			t.Errorf("%s is reachable at %s", listen, got)
		}
	}
}
