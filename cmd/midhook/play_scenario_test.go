package main

import (
	"encoding/json"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/midhook/midhook/midhooktest"
)

func TestPlayScenarios(t *testing.T) {
	for _, c := range []struct {
		scenario string
		handler  http.Handler
		code     int
		stdout   string
	}{
		{"out-of-order", hooked(t), exitOK, "out-of-order: as expected\n"},
		{"tampering", hooked(t), exitOK, "tampering: as expected\n"},
		{"tampering", answering(200), exitWrong, "check the signature"},
		{"redirect-trap", redirecting(301, "/"), exitWrong, "redirect-trap: not as expected\n"},
		{"duplicate-storm", answering(200), exitOK, "duplicate-storm: as expected\n"},
	} {
		t.Run(c.scenario, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "page.html")
			code, stdout, stderr := invocation{key: serverKey}.run(t, "play", "--speed", fast, "--html", file, "--scenario", c.scenario, serveHTTP(t, c.handler))
			assert.Equal(t, c.code, code, stdout)
			assert.Contains(t, stdout, c.stdout)
			assert.Equal(t, strings.Count(stderr, ": attempt "), readPage(t, file).marks)
		})
	}
}

func TestPlayList(t *testing.T) {
	code, stdout, stderr := invocation{}.run(t, "play", "--list", "--json")
	assert.Equal(t, exitOK, code)
	assert.Empty(t, stderr)
	var all []listed
	require.NoError(t, json.Unmarshal([]byte(stdout), &all))
	playable := map[string]bool{}
	for _, l := range all {
		playable[l.Name] = l.Playable
	}
	assert.Len(t, playable, len(midhooktest.Scenarios()))
	for name, want := range map[string]bool{"outage": true, "burst": true, "slow-handler": false, "key-rotation": false, "wrong-amount": false} {
		assert.Equal(t, want, playable[name], name)
	}
	_, stdout, _ = invocation{}.run(t, "play", "--list")
	assert.Equal(t, 3, strings.Count(stdout, "(not playable against a URL)"))
}
