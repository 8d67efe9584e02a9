package main

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/midhook/midhook/midhooktest"
)

// fast has Midtrans' 342 minutes pass in two seconds.
const fast = "10000"

// failingFirst answers 503 so many times, and then has h answer.
func failingFirst(n int32, h http.Handler) http.Handler {
	var calls atomic.Int32
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if calls.Add(1) <= n {
			w.WriteHeader(http.StatusServiceUnavailable)
			_, _ = io.WriteString(w, "<b>down</b> see https://shop.example/status\x1b[2J")
			return
		}
		h.ServeHTTP(w, r)
	})
}

// counted is what a page draws. Its HTML is XML, too, so that a parser that takes
// no liberties can read it.
type counted struct {
	marks      int
	elements   map[string]int
	references []string
}

func readPage(t *testing.T, file string) counted {
	t.Helper()
	page, err := os.ReadFile(file)
	require.NoError(t, err)
	c := counted{elements: map[string]int{}}
	for d := xml.NewDecoder(bytes.NewReader(page)); ; {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return c
		}
		require.NoError(t, err)
		e, ok := token.(xml.StartElement)
		if !ok {
			continue
		}
		c.elements[e.Name.Local]++
		for _, a := range e.Attr {
			switch {
			case a.Name.Local == "class" && strings.HasPrefix(a.Value, "mark "):
				c.marks++
			case a.Name.Local == "src", a.Name.Local == "href", strings.Contains(a.Value, "://"), strings.Contains(a.Value, "url("):
				c.references = append(c.references, a.Value)
			}
		}
	}
}

func TestPlay(t *testing.T) {
	for _, c := range []struct {
		name     string
		handler  http.Handler
		args     []string
		code     int
		statuses []int
		stdout   []string
	}{
		{"delivered at once", hooked(t), nil, exitOK, []int{200},
			[]string{"samples: as expected\n", ": delivered, 1 attempt\n", "1\t+0s\t200\thandled\tdelivered\t-\n"}},
		{"delivered after two failures", failingFirst(2, hooked(t)), nil, exitOK, []int{503, 503, 200},
			[]string{": delivered, 3 attempts in ", "1\t+0s\t503\t<b>down</b> see ", "\tretry 1 of 4 follows\tin ", "\tretry 2 of 4 follows\tin ", "\t200\thandled\tdelivered\t-\n"}},
		{"lost to a redirect", redirecting(302, "/login"), nil, exitWrong, []int{302},
			[]string{"samples: not as expected\nlost: 1 of 1\n", "\tno retry follows, lost\t-\n"}},
		{"lost after all retries", answering(503), []string{"--seed", "7"}, exitWrong, []int{503, 503, 503, 503, 503},
			[]string{": lost, 5 attempts in ", "no more than 4 retries, lost"}},
		{"signed with another key", hooked(t), []string{"--key", noKey}, exitWrong, []int{403, 403, 403, 403, 403, 403},
			[]string{": lost, 6 attempts in ", "signature"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			url := serveHTTP(t, c.handler) + "/midtrans"
			file := filepath.Join(t.TempDir(), "page.html")
			code, stdout, stderr := invocation{key: serverKey}.run(t,
				append([]string{"play", "--speed", fast, "--html", file, url}, c.args...)...)
			assert.Equal(t, c.code, code, stdout+stderr)
			for _, want := range c.stdout {
				assert.Contains(t, stdout, want)
			}
			assert.Equal(t, len(c.statuses), strings.Count(stderr, ": attempt "), "one line of progress for each attempt: %s", stderr)
			assert.NotContains(t, stdout+stderr, "\x1b")
			page := readPage(t, file)
			assert.Equal(t, 1, page.elements["svg"])
			assert.Equal(t, len(c.statuses), page.marks)
			assert.Equal(t, len(c.statuses), page.elements["tr"]-page.elements["thead"], "rows of the table")
			assert.Empty(t, page.references)
			assert.Equal(t, 3, page.elements["b"], "those of the key: an answer's are text")
			for _, foreign := range []string{"script", "link", "img", "iframe", "a"} {
				assert.Zero(t, page.elements[foreign], foreign)
			}
		})
	}
}

// The page must work where nothing can be loaded.
func TestPlayPageRefersToNothing(t *testing.T) {
	file := filepath.Join(t.TempDir(), "page.html")
	code, _, stderr := invocation{key: serverKey}.run(t, "play", "--html", file, serveHTTP(t, hooked(t)))
	require.Equal(t, exitOK, code, stderr)
	page, err := os.ReadFile(file)
	require.NoError(t, err)
	assert.NotRegexp(t, `https?://|@import|url\(`, string(page))
	for _, want := range []string{`name="viewport"`, "prefers-color-scheme: dark", "Content-Security-Policy"} {
		assert.Contains(t, string(page), want)
	}
}

func TestPlayJSON(t *testing.T) {
	url := serveHTTP(t, failingFirst(2, hooked(t)))
	code, stdout, _ := invocation{key: serverKey}.run(t, "play", "--json", "--speed", fast, "--seed", "3", url+"/?token=hidden")
	assert.Equal(t, exitOK, code)
	var got timeline
	require.NoError(t, json.Unmarshal([]byte(stdout), &got))
	assert.Equal(t, url+"/", got.Target, "a query may be a secret")
	assert.EqualValues(t, 3, got.Seed)
	assert.False(t, got.Interrupted)
	require.Len(t, got.Acts, 1)
	require.Len(t, got.Acts[0].Deliveries, 1)
	d := got.Acts[0].Deliveries[0]
	assert.Equal(t, verdictDelivered, d.Verdict)
	require.Len(t, d.Attempts, 3)
	for i, status := range []int{503, 503, 200} {
		assert.Equal(t, status, d.Attempts[i].Status)
		assert.Equal(t, i+1, d.Attempts[i].Number)
	}
	first, second := d.Attempts[0].Next, d.Attempts[1].Next
	assert.True(t, first >= 33 && first <= 120, first)
	assert.True(t, second >= 165 && second <= 600, second)
	assert.GreaterOrEqual(t, d.Attempts[2].At, first+second)
	assert.Zero(t, d.Attempts[2].Next)
}

// A seed gives the same waits again, so that a play can be shown to others.
func TestPlaySeed(t *testing.T) {
	wait := func(seed string) float64 {
		_, stdout, _ := invocation{key: serverKey}.run(t, "play", "--json", "--speed", fast, "--seed", seed, serveHTTP(t, failingFirst(1, hooked(t))))
		var got timeline
		require.NoError(t, json.Unmarshal([]byte(stdout), &got))
		return got.Acts[0].Deliveries[0].Attempts[0].Next
	}
	one := wait("1")
	assert.InDelta(t, one, wait("1"), 0)
	assert.NotEqual(t, one, wait("2"))
}

func TestPlaySeveralSamples(t *testing.T) {
	file := filepath.Join(t.TempDir(), "page.html")
	code, stdout, _ := invocation{key: serverKey}.run(t, "play", "--speed", fast, "--html", file, "--prefix", "run1-",
		"--sample", "gopay", "--sample", "bca-va", "--sample", "pay-account-enabled", serveHTTP(t, hooked(t)))
	assert.Equal(t, exitOK, code, stdout)
	assert.Contains(t, stdout, "gopay settlement of run1-"+midhooktest.Sample("gopay").OrderID+": delivered")
	assert.Contains(t, stdout, "bank_transfer settlement of run1-"+midhooktest.Sample("bca-va").OrderID+": delivered")
	assert.Contains(t, stdout, "linked account: delivered")
	assert.Equal(t, 3, readPage(t, file).marks)
}

// A thousand deliveries that are all alike must not hide the one that is not, and
// each keeps its mark.
func TestPlayCrowd(t *testing.T) {
	a := act{Scenario: "burst"}
	for range 1000 {
		a.Deliveries = append(a.Deliveries, parcel{Verdict: verdictDelivered, Attempts: []moment{{Number: 1, Status: 200}}})
	}
	a.Deliveries[700] = parcel{Event: "odd", Verdict: verdictLost, Attempts: []moment{{Number: 1, Status: 302}}}
	var text bytes.Buffer
	(&timeline{Acts: []act{a}}).print(newScreen(&text))
	assert.Contains(t, text.String(), "\nodd: lost, 1 attempt\n")
	assert.Contains(t, text.String(), "\n979 more, each delivered at the first attempt\n")
	marks := 0
	for _, l := range newChart(a).Lanes {
		marks += len(l.Marks)
	}
	assert.Equal(t, 1000, marks)
}

// Nothing is sent, and no file is touched, for a mistake in the command line.
func TestPlayMistakes(t *testing.T) {
	var calls atomic.Int32
	url := serveHTTP(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { calls.Add(1) }))
	file := filepath.Join(t.TempDir(), "page.html")
	for _, c := range []struct {
		args   []string
		stderr string
	}{
		{nil, "an argument is missing: URL"},
		{[]string{url}, "a server key is required"},
		{[]string{"--key", "k", "nonsense"}, "one such as https://"},
		{[]string{"--key", "k", url, "--speed", "0"}, "--speed must be positive"},
		{[]string{"--key", "k", url, "--speed", "NaN"}, "--speed must be positive"},
		{[]string{"--key", "k", url, "--speed", "Inf"}, "--speed must be positive"},
		{[]string{"--key", "k", url, "--seed", "-1"}, "-seed"},
		{[]string{"--key", "k", url, "--sample", "nonsense"}, `no sample "nonsense"`},
		{[]string{"--key", "k", url, "--scenario", "nonsense"}, `no scenario "nonsense"`},
		{[]string{"--key", "k", url, "--scenario", "slow-handler"}, "not playable against a URL"},
		{[]string{"--key", "k", url, "--scenario", "burst", "--sample", "gopay"}, "either --sample or --scenario"},
		{[]string{"--key", "k", url, "--prefix", "a b"}, "--prefix must be"},
	} {
		t.Run(c.stderr, func(t *testing.T) {
			code, stdout, stderr := invocation{}.run(t, append([]string{"play", "--html", file}, c.args...)...)
			assert.Equal(t, exitUsage, code)
			assert.Empty(t, stdout)
			assert.Contains(t, stderr, c.stderr)
		})
	}
	assert.Zero(t, calls.Load())
	assert.NoFileExists(t, file)

	code, _, stderr := invocation{key: serverKey}.run(t, "play", "--html", filepath.Join(file, "missing"), url)
	assert.Equal(t, exitWrong, code)
	assert.Contains(t, stderr, "midhook play: ")
	assert.Zero(t, calls.Load(), "found out too late")
}

// No key and no signature may be in what is printed or written, whatever the
// server says.
func TestPlayKeepsSecrets(t *testing.T) {
	const key = "SB-Mid-server-test-not-to-be-seen"
	telltale := serveHTTP(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got, _ := io.ReadAll(r.Body)
		w.Header().Set("Location", "/"+key)
		w.WriteHeader(http.StatusFound)
		_, _ = io.WriteString(w, key+" "+string(got))
	}))
	file := filepath.Join(t.TempDir(), "page.html")
	for _, mode := range []string{"--json", "--json=false"} {
		_, stdout, stderr := invocation{key: key}.run(t, "play", mode, "--html", file, telltale+"/"+key)
		page, err := os.ReadFile(file)
		require.NoError(t, err)
		assert.NotContains(t, stdout+stderr+string(page), "not-to-be-seen")
		assert.NotRegexp(t, `[0-9a-f]{64}`, stdout+stderr+string(page))
	}
}

// Ctrl-C must not wait for the next retry, nor lose what was seen so far.
func TestPlayCtrlC(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no interrupts")
	}
	for _, args := range [][]string{{"--sample", "gopay"}, {"--scenario", "crash"}} {
		t.Run(args[0], func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "page.html")
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			cmd := invocation{key: serverKey}.command(ctx, append([]string{"play", "--speed", "1", "--html", file, serveHTTP(t, answering(503))}, args...)...)
			var stdout bytes.Buffer
			cmd.Stdout = &stdout
			stderr, err := cmd.StderrPipe()
			require.NoError(t, err)
			require.NoError(t, cmd.Start())
			_, err = io.ReadFull(stderr, make([]byte, 1)) // the first attempt was made
			require.NoError(t, err)
			require.NoError(t, cmd.Process.Signal(os.Interrupt))
			told, _ := io.ReadAll(stderr)
			_ = cmd.Wait()
			require.NoError(t, ctx.Err(), "it had to be killed")
			assert.Equal(t, exitWrong, cmd.ProcessState.ExitCode())
			assert.Contains(t, string(told), "midhook play: interrupted\n")
			assert.Contains(t, stdout.String(), ": interrupted\n")
			assert.Contains(t, stdout.String(), ": unfinished, 1 attempt\n")
			assert.Equal(t, 1, readPage(t, file).marks)
		})
	}
}

// What no answer tells is said, with the order to look at.
func TestPlaySaysWhatItCannotSee(t *testing.T) {
	code, stdout, stderr := invocation{key: serverKey}.run(t, "play", "--prefix", "p-", serveHTTP(t, answering(200)))
	if want := "whether the order was fulfilled once is visible only in your shop: look at order p-"; code != exitOK || !strings.Contains(stdout, want) {
		t.Errorf("exit code is %d, stdout %q, stderr %q", code, stdout, stderr)
	}
}
