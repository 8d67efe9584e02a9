package paymongo_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/midhook/midhook"
)

// Rule: every answer is JSON, with the statuses of PlainAnswer.
func TestAnswers(t *testing.T) {
	g := newGateway(t)
	count := 0
	for o := midhook.OutcomeHandled; ; o++ {
		if strings.HasPrefix(o.String(), "Outcome(") {
			break
		}
		count++
		status, contentType, body := g.Answer(o)
		plain, _, _ := midhook.PlainAnswer(o)
		assert.Equal(t, plain, status, o)
		assert.Equal(t, "application/json", contentType, o)
		assert.JSONEq(t, `{"outcome":"`+o.String()+`"}`, body)
		if status/100 == 2 {
			assert.True(t, g.Accepts(status, http.Header{"Content-Type": {contentType}}, []byte(body)), o)
		}
	}
	assert.Greater(t, count, 20)
}

func TestAccepts(t *testing.T) {
	g := newGateway(t)
	typed := func(contentType string) http.Header { return http.Header{"Content-Type": {contentType}} }
	for _, c := range []struct {
		status int
		header http.Header
		body   string
		ok     bool
	}{
		{200, typed("application/json"), `{"ok":true}`, true},
		{200, typed("application/json; charset=utf-8"), `{}`, true},
		{202, typed("Application/JSON"), `{}`, true},
		{209, typed("application/problem+json"), `{}`, true},
		{200, typed("application/json"), " [1]\n", true},
		{210, typed("application/json"), `{}`, false},
		{226, typed("application/json"), `{}`, false},
		{199, typed("application/json"), `{}`, false},
		{200, typed("application/json"), ``, false},
		{200, typed("application/json"), ` `, false},
		{200, typed("application/json"), `{`, false},
		{200, typed("application/json"), `ok`, false},
		{200, typed("application/json"), `{}{}`, false},
		{200, typed("text/plain"), `{}`, false},
		{200, typed("text/html; application/json"), `{}`, false},
		{200, http.Header{}, `{}`, false},
		{200, nil, `{}`, false},
		{200, http.Header{"Content-Type": {"application/json"}, "Content-Encoding": {"gzip"}}, `{}`, false},
	} {
		assert.Equal(t, c.ok, g.Accepts(c.status, c.header, []byte(c.body)), "%d %v %q", c.status, c.header, c.body)
	}
}

// Rule: a handler's own 2xx goes out if it is a success to PayMongo, and is
// replaced if it is not: else a handled event is sent again twelve times.
func TestHandlersOwnAnswer(t *testing.T) {
	for _, c := range []struct {
		name    string
		handler http.HandlerFunc
		status  int
		body    string
	}{
		{"JSON", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusAccepted)
			_, _ = io.WriteString(w, `{"mine":1}`)
		}, 202, `{"mine":1}`},
		{"nothing", func(http.ResponseWriter, *http.Request) {}, 200, `{"outcome":"handled"}`},
		{"204", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }, 200, `{"outcome":"handled"}`},
		{"202 without a body", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusAccepted) }, 200, `{"outcome":"handled"}`},
		{"text", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "OK") }, 200, `{"outcome":"handled"}`},
		{"226", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusIMUsed)
			_, _ = io.WriteString(w, `{}`)
		}, 200, `{"outcome":"handled"}`},
		{"500", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) }, 503, `{"outcome":"handler_failed"}`},
		{"redirect", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/login", http.StatusFound) }, 503, `{"outcome":"handler_redirected"}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			hook, _ := newHook(t, newGateway(t))
			w := serve(hook.Handler(c.handler), live("evt_1"))
			assert.Equal(t, c.status, w.Code)
			assert.Equal(t, "application/json", w.Header().Get("Content-Type"))
			assert.JSONEq(t, c.body, w.Body.String())
		})
	}
}
