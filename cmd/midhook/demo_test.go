package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/midhook/midhook"
	"github.com/midhook/midhook/midhooktest"
)

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
			asExpected, err := playScenes(t.Context(), []scene{{title: "SCENE", steps: []step{right, wrong}}}, &out, slog.New(slog.DiscardHandler))
			if err != nil {
				t.Fatal(err)
			}
			if asExpected {
				t.Error("playScenes reports that all was as expected")
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
				asExpected, err := playScenes(t.Context(), []scene{weak}, &out, slog.New(slog.DiscardHandler))
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
