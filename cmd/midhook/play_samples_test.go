package main

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/midhook/midhook/midhooktest"
)

// rapid has PayMongo's 136.5 minutes pass in a hundredth of a second.
const rapid = "1000000"

// The timeline names each event and shows when PayMongo gave the endpoint up.
func TestPlayAsEveryGateway(t *testing.T) {
	handled, _ := received(t, "paymongo")
	paidOut, _ := received(t, "payout")
	for _, c := range []struct {
		name     string
		url      string
		args     []string
		code     int
		attempts int
		disabled bool
		stdout   []string
	}{
		{"payout", paidOut, []string{"--gateway", "payout", "--count", "2", "--prefix", "run1-"}, exitOK, 2, false, []string{
			"samples: as expected\n", "\ncompleted run1-83hgf882: delivered, 1 attempt\n", "\ncompleted run1-83hgf882-2: delivered, 1 attempt\n"}},
		{"opn, lost at once", serveHTTP(t, answering(500)), []string{"--gateway", "opn", "--sample", "charge.complete", "--sample", "refund.create"}, exitWrong, 2, false, []string{
			"samples: not as expected\nlost: 2 of 2\nOpn guarantees no retry; opn.Client.Reconcile",
			"\ncharge.complete evnt_test_5xuy4w91xqz7d1w9u0t: lost, 1 attempt\n", "\nrefund.create evnt_test_5xuy4w91xqz7d1w9u0u: lost, 1 attempt\n"}},
		{"recurring", serveHTTP(t, answering(404)), []string{"--gateway", "recurring", "--sample", "charge-failed"}, exitWrong, 3, false, []string{
			"\ncharge-failed db516f5c-4acf-4f67-ac75-bb8428b58633: lost, 3 attempts in "}},
		{"paymongo, delivered", handled, []string{"--gateway", "paymongo"}, exitOK, 1, false, []string{
			"\npayment.paid evt_HyQ8cTeYsQNJ5PB11VUjCY5F: delivered, 1 attempt\n", "\t200\t" + `{"outcome":"handled"}` + "\tdelivered\t-\n"}},
		{"paymongo, without JSON", serveHTTP(t, answering(200)), []string{"--gateway", "paymongo", "--count", "2"}, exitWrong, 26, false, []string{
			"lost: 2 of 2\n", "\t200\t(empty)\t200 is no success without JSON: retry 1 of 12 follows\tin 2s\n"}},
		{"paymongo, one after another", serveHTTP(t, answering(503)), []string{"--gateway", "paymongo", "--count", "5"}, exitWrong, 39, true, []string{
			"lost: 3 of 5\nnot sent: 2 of 5\nPayMongo disables the endpoint at +6h49m30s, after three events in a row were lost: nothing is sent until someone enables it again\n",
			"\npayment.paid evt_HyQ8cTeYsQNJ5PB11VUjCY5F-3: lost, 13 attempts in 2h16m30s\n",
			"\npayment.paid evt_HyQ8cTeYsQNJ5PB11VUjCY5F-4: not sent\n", "\npayment.paid evt_HyQ8cTeYsQNJ5PB11VUjCY5F-5: not sent\n"}},
		{"paymongo, three at once", serveHTTP(t, answering(503)), []string{"--gateway", "paymongo",
			"--sample", "payment.paid", "--sample", "payment.failed", "--sample", "payment.refunded"}, exitWrong, 39, true, []string{
			"lost: 3 of 3\nPayMongo disables the endpoint at +2h16m30s, after three events in a row were lost"}},
		{"paymongo, two are no three", serveHTTP(t, answering(503)), []string{"--gateway", "paymongo", "--count", "2"}, exitWrong, 26, false, nil},
		{"paymongo, saved by a success", serveHTTP(t, onlyNumber(27, jsonOK)), []string{"--gateway", "paymongo", "--count", "4"}, exitWrong, 40, false, []string{
			"lost: 3 of 4\n", "CY5F-3: delivered, 1 attempt\n", "CY5F-4: lost, 13 attempts in "}},
		{"midtrans never disables", serveHTTP(t, answering(302)), []string{"--count", "4"}, exitWrong, 4, false, []string{
			"lost: 4 of 4\n", "gopay settlement of " + midhooktest.Sample("gopay").OrderID + "-4: lost, 1 attempt\n"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "page.html")
			code, stdout, stderr := as(t).run(t, append([]string{"play", "--speed", rapid, "--html", file, c.url}, c.args...)...)
			assert.Equal(t, c.code, code, stdout)
			for _, want := range c.stdout {
				assert.Contains(t, stdout, want)
			}
			assert.Equal(t, c.disabled, strings.Contains(stdout, "disables the endpoint"))
			assert.Equal(t, c.attempts, strings.Count(stderr, ": attempt "), stderr)
			assert.NotContains(t, stderr, "no notification", "each attempt is told with its event's name")
			page, err := os.ReadFile(file)
			require.NoError(t, err)
			assert.Equal(t, c.attempts, readPage(t, file).marks)
			assert.Equal(t, strings.Count(stdout, ": delivered, "), strings.Count(string(page), `class="mark ok"`))
			assert.Equal(t, c.disabled, strings.Contains(string(page), `<line class="off"`))
			assert.Equal(t, c.disabled, strings.Contains(string(page), "disables the endpoint"))
		})
	}
}

// onlyNumber has h answer one request, and 503 all others.
func onlyNumber(n int32, h http.Handler) http.Handler {
	var calls atomic.Int32
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if calls.Add(1) == n {
			h.ServeHTTP(w, r)
			return
		}
		w.WriteHeader(http.StatusServiceUnavailable)
	})
}

var jsonOK = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, "ok") })

func TestPlayJSONOfADisabledEndpoint(t *testing.T) {
	code, stdout, _ := as(t).run(t, "play", "--json", "--gateway", "paymongo", "--count", "4", "--speed", rapid, serveHTTP(t, answering(200)))
	assert.Equal(t, exitWrong, code)
	var got timeline
	require.NoError(t, json.Unmarshal([]byte(stdout), &got))
	assert.Equal(t, "paymongo", got.Gateway)
	require.Len(t, got.Acts, 1)
	require.NotNil(t, got.Acts[0].Disabled)
	assert.InDelta(t, 3*136.5*60, got.Acts[0].Disabled.At, 60)
	require.Len(t, got.Acts[0].Deliveries, 4)
	for i, d := range got.Acts[0].Deliveries[:3] {
		assert.Equal(t, verdictLost, d.Verdict)
		require.Len(t, d.Attempts, 13)
		assert.InDelta(t, float64(i)*136.5*60, d.Attempts[0].At, 60, "each begins when the one before has ended")
		assert.False(t, d.Attempts[12].Delivered, "a 200 without JSON")
	}
	last := got.Acts[0].Deliveries[3]
	assert.Equal(t, parcel{Event: "payment.paid evt_HyQ8cTeYsQNJ5PB11VUjCY5F-4", Verdict: verdictUnsent, Attempts: []moment{}}, last)
}
