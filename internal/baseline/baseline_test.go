package baseline_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/midhook/midhook/internal/baseline"
	"github.com/midhook/midhook/midhooktest"
)

// Rule: what midhook is compared with does its work: it verifies, and runs once.
func TestBaselinesWork(t *testing.T) {
	const key = "SB-Mid-server-test-key-0001"
	for name, wrap := range map[string]func(string, http.Handler) http.Handler{"by hand": baseline.ByHand, "floor": baseline.Floor} {
		runs := 0
		h := wrap(key, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { runs++ }))
		send := func(key string, tweaks ...midhooktest.Tweak) int {
			w := httptest.NewRecorder()
			h.ServeHTTP(w, midhooktest.NewRequest(midhooktest.Sample("gopay", tweaks...), key))
			return w.Code
		}
		assert.Equal(t, 200, send(key), name)
		assert.Equal(t, 200, send(key), name)
		assert.Equal(t, 1, runs, name)
		assert.Equal(t, 403, send("SB-Mid-server-another-key-0002"), name)
		assert.Equal(t, 200, send(key, midhooktest.Order("another")), name)
		assert.Equal(t, 2, runs, name)
	}
}
