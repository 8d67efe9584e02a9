package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The line must be where the last of the lost events ends.
func TestDisablingInTheChart(t *testing.T) {
	lost := func(at float64) parcel {
		return parcel{Verdict: verdictLost, Attempts: []moment{{Number: 1, At: at, Status: 500}}}
	}
	c := newChart(act{Disabled: &disabling{At: 8000}, Deliveries: []parcel{lost(1000), lost(8000), lost(9000)}})
	assert.InDelta(t, c.Lanes[1].Marks[0].X, c.DisabledX, 0.01)
	assert.Less(t, c.Lanes[0].Marks[0].X, c.DisabledX)
	assert.Less(t, c.DisabledX, c.Lanes[2].Marks[0].X)
}

// The page of another gateway is by another clock.
func TestPlayPageNamesTheSender(t *testing.T) {
	for gateway, company := range map[string]string{"midtrans": "Midtrans", "payout": "Midtrans", "opn": "Opn", "paymongo": "PayMongo"} {
		file := filepath.Join(t.TempDir(), gateway)
		_, _, stderr := as(t).run(t, "play", "--gateway", gateway, "--html", file, serveHTTP(t, jsonOK))
		page, err := os.ReadFile(file)
		require.NoError(t, err, stderr)
		assert.Contains(t, string(page), "by the clock of "+company+",")
	}
}
