package midhooktest

import (
	"bytes"
	"log/slog"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/midhook/midhook"
)

// FuzzGateway fuzzes header and body of a delivery: nothing panics, and nothing is
// handed on but what the sender signed. The seeds are signed once, at the beginning: a
// gateway that compares times takes none for genuine when it has run for longer than
// its tolerance. One that does not is told to be broken by a seed of more than an hour
// ago, which go test keeps in its cache, where the sender signs a time that the header
// does not have in Unix seconds: go clean -fuzzcache.
//
//	func FuzzGateway(f *testing.F) { midhooktest.FuzzGateway(f, gatewayTest) }
func FuzzGateway(f *testing.F, g GatewayTest) {
	f.Helper()
	if err := g.lacks(); err != nil {
		f.Fatal(err)
	}
	at := time.Now()
	var names []string        // of the headers that prove a body
	sent := map[string]bool{} // bodies
	seed := func(event []byte) {
		header, body := g.Sender.Sign(event, g.Secret, at)
		names = slices.Sorted(maps.Keys(header))
		var values [2]string
		for i, name := range names[:min(len(names), len(values))] {
			values[i] = strings.Join(header[name], ",")
		}
		sent[string(body)] = true
		f.Add(values[0], values[1], body)
		f.Add(values[0], values[1], append(slices.Clone(body), ' '))
		f.Add("", "", event)
	}
	bodies := [][]byte{g.Sender.Event(0), g.Sender.Event(1)}
	for _, sample := range g.Sender.Samples() {
		bodies = append(bodies, g.Sender.Body(sample))
	}
	for _, body := range append(bodies, nil, []byte("null")) {
		seed(body)
	}
	var ran bool
	hook := g.New(f, midhook.WithLogger(slog.New(slog.DiscardHandler)), midhook.WithTestNotifications(), midhook.WithSuperseded())
	handler := hook.Handler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		ran = true
		w.WriteHeader(http.StatusInternalServerError) // so that nothing counts as handled
	}))
	f.Fuzz(func(t *testing.T, first, second string, body []byte) {
		header := g.Sender.requestHeader(nil)
		for i, name := range names[:min(len(names), 2)] {
			header[name] = []string{[]string{first, second}[i]}
		}
		r := g.Sender.NewRequest(body, "")
		r.Header = header
		r.Body, r.ContentLength = http.NoBody, 0
		if len(body) > 0 {
			r.Body, r.ContentLength = &requestBody{r: bytes.NewReader(body), w: &responseWriter{}}, int64(len(body))
		}
		ran = false
		handler.ServeHTTP(&responseWriter{header: http.Header{}, length: -1, ended: make(chan struct{})}, r)
		if ran && !g.Unsigned && !g.signed(sent, len(names) > 0, first+" "+second, body) {
			t.Errorf("handed on, though the sender did not sign it:\n%q %q\n%q", first, second, body)
		}
	})
}

// signed reports whether the sender may have signed a body that was let in: nobody
// finds a signature by chance. A process that fuzzes gets the seeds of another, which
// signed them some time ago.
func (g GatewayTest) signed(sent map[string]bool, inHeader bool, header string, body []byte) bool {
	if inHeader {
		return sent[string(body)] && slices.ContainsFunc(signedAt(header), func(at time.Time) bool {
			return g.isProof(header, body, at)
		})
	}
	now := time.Now()
	_, again := g.Sender.Sign(body, g.Secret, now)
	_, other := g.Sender.Sign(body, g.anotherSecret(), now)
	same := 0 // up to the signature
	for same < min(len(again), len(other)) && again[same] == other[same] {
		same++
	}
	signature := longWord.Find(again[same:])
	return signature != nil && bytes.Contains(bytes.ToLower(body), bytes.ToLower(signature))
}

// isProof reports whether a header has the signature that the sender gives body at a
// time.
func (g GatewayTest) isProof(header string, body []byte, at time.Time) bool {
	proof, _ := g.Sender.Sign(body, g.Secret, at)
	for _, values := range proof {
		for _, signature := range longWord.FindAllString(strings.ToLower(strings.Join(values, ",")), -1) {
			if strings.Contains(strings.ToLower(header), signature) {
				return true
			}
		}
	}
	return false
}

// signedAt are the times at which the sender may have signed what has that header: those
// that it says, since a seed may come from an earlier run, and those of this run.
func signedAt(header string) (times []time.Time) {
	for _, digits := range unixSeconds.FindAllString(header, maxTimes) {
		seconds, _ := strconv.ParseInt(digits, 10, 64)
		times = append(times, time.Unix(seconds, 0))
	}
	now := time.Now()
	for ago := -time.Second; ago < fuzzed; ago += time.Second {
		times = append(times, now.Add(-ago))
	}
	return times
}

const (
	fuzzed   = time.Hour // for how long a run may fuzz
	maxTimes = 8         // that a header says
)

var unixSeconds = regexp.MustCompile(`[0-9]{9,12}`)
