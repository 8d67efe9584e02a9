package opn_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/time/rate"

	"github.com/midhook/midhook/opn"
)

func TestNewClientRefuses(t *testing.T) {
	for _, key := range []string{"", " ", "skey_test\n", "pkey_test", "whsk_test", testSecret, "Mid-server-test", "test"} {
		_, err := opn.NewClient(key)
		require.Error(t, err, "%q", key)
		if key = strings.TrimSpace(key); len(key) > 4 {
			assert.NotContains(t, err.Error(), key)
		}
	}
	for _, base := range []string{"", "api.omise.co", "http://api.omise.co", "https://user@x", "https://x?y", "http://localhost.example"} {
		_, err := opn.NewClient(testKey, opn.WithBaseURL(base))
		assert.ErrorContains(t, err, "base URL", "%q", base)
	}
	for _, base := range []string{"https://x/", "http://127.0.0.1:8080", "http://localhost"} {
		_, err := opn.NewClient(testKey, opn.WithBaseURL(base))
		assert.NoError(t, err, base)
	}
	_, err := opn.NewClient("pkey_test", opn.WithBaseURL(""), opn.WithHTTPClient(nil), opn.WithRate(nil), nil)
	require.Error(t, err)
	assert.Len(t, strings.Split(err.Error(), "\n"), 5, err.Error())
}

// Rule: the list is asked for page by page, with the same from and to, and each
// event comes once, in its order.
func TestEvents(t *testing.T) {
	a := newEventsAPI(250)
	from := time.Date(2026, time.August, 1, 17, 0, 0, 999, time.FixedZone("ICT", 7*60*60))
	to := time.Date(2026, time.August, 1, 12, 0, 0, 1, time.UTC)
	i := 0
	for e, err := range a.client(t, opn.WithBaseURL("https://api.example/prefix/")).Events(t.Context(), from, to) {
		require.NoError(t, err)
		require.Equal(t, fmt.Sprintf("evnt_test_%03d", i), e.ID)
		require.JSONEq(t, chargeEvent(e.ID), string(e.Raw()))
		i++
	}
	assert.Equal(t, 250, i)
	require.Len(t, a.requests, 3)
	for i, r := range a.requests {
		assert.Equal(t, "https://api.example/prefix/events", r.URL.Scheme+"://"+r.URL.Host+r.URL.Path)
		query := r.URL.Query()
		for name, want := range map[string]string{
			"from": "2026-08-01T10:00:00Z", "to": "2026-08-01T12:00:01Z", "limit": "100", "order": "chronological", "offset": fmt.Sprint(100 * i),
		} {
			assert.Equal(t, want, query.Get(name), name)
		}
	}

	for range a.client(t).Events(t.Context(), from, to) {
		break // who has enough asks no further
	}
	assert.Equal(t, 4, a.calls())
}

// Rule: an event that is added while the list is read shifts the others, of which
// none comes twice or is left out; it is itself for the next run.
func TestEventsAddedMeanwhile(t *testing.T) {
	a := newEventsAPI(250)
	seen := map[string]int{}
	for e, err := range a.client(t).Events(t.Context(), testNow, testNow) {
		require.NoError(t, err)
		if seen[e.ID]++; len(seen) == 100 {
			a.events = slices.Insert(a.events, 0, chargeEvent("evnt_test_new"))
		}
	}
	assert.Len(t, seen, 250)
	for id, times := range seen {
		assert.Equal(t, 1, times, id)
	}
	assert.Zero(t, seen["evnt_test_new"])
}

func TestEventsUntilNow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newEventsAPI(0)
		for e, err := range a.client(t).Events(t.Context(), time.Now().Add(-time.Hour), time.Time{}) {
			t.Error(e, err)
		}
		require.Equal(t, 1, a.calls())
		assert.Equal(t, "2000-01-01T00:00:00Z", a.requests[0].URL.Query().Get("to"))
	})
}

// Rule: a list that makes no sense ends with an error after what could be read of
// it, and always ends.
func TestEventsListThatMakesNoSense(t *testing.T) {
	first := make([]any, 100)
	for i := range first {
		first[i] = map[string]any{"id": fmt.Sprintf("evnt_test_%03d", i), "key": "charge.create"}
	}
	for _, c := range []struct {
		name   string
		tamper func(call int, list map[string]any) *http.Response
		events int
		err    error // of the last
		text   string
	}{
		{"ignores the offset", func(_ int, list map[string]any) *http.Response { list["data"] = first; return nil }, 100, opn.ErrUnavailable, "the same ones again"},
		{"stops before its total", func(call int, list map[string]any) *http.Response {
			if call == 3 {
				list["data"] = []any{}
			}
			return nil
		}, 200, opn.ErrUnavailable, "fewer events"},
		{"has null for events", func(_ int, list map[string]any) *http.Response { list["data"] = nil; return nil }, 0, opn.ErrUnavailable, "fewer events"},
		{"has more than its total", func(_ int, list map[string]any) *http.Response { list["total"] = 99; return nil }, 100, opn.ErrUnavailable, "more events"},
		{"has a negative total", func(_ int, list map[string]any) *http.Response {
			list["total"], list["data"] = -1, []any{}
			return nil
		}, 0, opn.ErrUnavailable, "no list"},
		{"has a total that grows", func(call int, list map[string]any) *http.Response { list["total"] = 250 + call*1000; return nil }, 250, opn.ErrUnavailable, "fewer events"},
		{"has pages of its own size", func(_ int, list map[string]any) *http.Response {
			list["data"] = first[list["offset"].(int):min(250, list["offset"].(int)+7)]
			list["total"] = 70
			return nil
		}, 70, nil, ""},
		{"has fewer events in the end", func(call int, list map[string]any) *http.Response {
			if call == 2 {
				list["total"], list["data"] = 50, []any{}
			}
			return nil
		}, 100, opn.ErrUnavailable, "fewer events"},
		{"has no total", func(_ int, list map[string]any) *http.Response { delete(list, "total"); return nil }, 0, opn.ErrUnavailable, "no list"},
		{"has a total in words", func(_ int, list map[string]any) *http.Response { list["total"] = "many"; return nil }, 0, opn.ErrUnavailable, "no list"},
		{"is a charge", func(_ int, list map[string]any) *http.Response { list["object"] = "charge"; return nil }, 0, opn.ErrUnavailable, "no list"},
		{"has an object for events", func(_ int, list map[string]any) *http.Response { list["data"] = map[string]any{}; return nil }, 0, opn.ErrUnavailable, "no list"},
		{"null", func(int, map[string]any) *http.Response { return answer(200, "null") }, 0, opn.ErrUnavailable, "no list"},
		{"empty", func(int, map[string]any) *http.Response { return answer(200, "") }, 0, opn.ErrUnavailable, "no list"},
		{"a login page", func(int, map[string]any) *http.Response { return answer(200, "<html>") }, 0, opn.ErrUnavailable, "no list"},
		{"too large", func(int, map[string]any) *http.Response { return answer(200, strings.Repeat(" ", 33<<20)) }, 0, opn.ErrUnavailable, "too large"},
		{"401", func(int, map[string]any) *http.Response { return answer(401, "{}") }, 0, opn.ErrUnauthorized, "secret key"},
		{"403", func(int, map[string]any) *http.Response { return answer(403, "{}") }, 0, opn.ErrUnauthorized, "secret key"},
		{"404", func(int, map[string]any) *http.Response { return answer(404, "{}") }, 0, opn.ErrUnavailable, "404"},
		{"429", func(int, map[string]any) *http.Response { return answer(429, "{}") }, 0, opn.ErrRateLimited, "limit"},
		{"302", func(int, map[string]any) *http.Response { return answer(302, "{}") }, 0, opn.ErrUnavailable, "302"},
		{"500 on the second page", func(call int, _ map[string]any) *http.Response {
			if call == 2 {
				return answer(500, "{}")
			}
			return nil
		}, 100, opn.ErrUnavailable, "500"},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := newEventsAPI(250)
			a.tamper = c.tamper
			events := 0
			var last error
			for e, err := range a.client(t).Events(t.Context(), testNow, testNow) {
				require.NoError(t, last, "an error of the list is the last")
				if last = err; err == nil {
					require.NotEmpty(t, e.ID)
					events++
				} else {
					require.Nil(t, e)
				}
			}
			assert.Equal(t, c.events, events)
			if c.err == nil {
				assert.NoError(t, last)
				return
			}
			require.ErrorIs(t, last, c.err)
			assert.ErrorContains(t, last, c.text)
			assert.NotContains(t, last.Error(), testKey)
			assert.LessOrEqual(t, a.calls(), 4)
		})
	}
}

func TestEventsErrors(t *testing.T) {
	list := func(c *opn.Client, ctx context.Context, from, to time.Time) error {
		var errs []error
		for _, err := range c.Events(ctx, from, to) {
			errs = append(errs, err)
		}
		return errors.Join(errs...)
	}
	a := newEventsAPI(1)
	assert.ErrorContains(t, list(a.client(t), t.Context(), time.Time{}, testNow), "zero")
	assert.ErrorContains(t, list(a.client(t), t.Context(), testNow.Add(2*time.Second), testNow), "after")
	assert.Zero(t, a.calls(), "nothing is asked for")

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	assert.ErrorIs(t, list(a.client(t), ctx, testNow, testNow), context.Canceled)

	empty := rate.NewLimiter(rate.Every(time.Hour), 1)
	empty.Allow()
	short, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	assert.ErrorIs(t, list(a.client(t, opn.WithRate(empty)), short, testNow, testNow), opn.ErrRateLimited)

	broken, err := opn.NewClient("skey_wrong", opn.WithHTTPClient(&http.Client{Transport: a}))
	require.NoError(t, err)
	assert.ErrorIs(t, list(broken, t.Context(), testNow, testNow), opn.ErrUnauthorized)
}
