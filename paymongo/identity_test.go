package paymongo_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/midhook/midhook/paymongo"
)

// Rule: an event that is sent again keeps its key, in all versions; whatever
// else the body says does not matter, for PayMongo counts pending_webhooks down.
func TestIdempotencyKey(t *testing.T) {
	key := func(body string) string {
		e, err := paymongo.Parse([]byte(body))
		require.NoError(t, err)
		return e.IdempotencyKey()
	}
	const pinned = "d447f8938e03b26273a9f43d1e534b7c859f10b95e68a21135d33b208b3940da"
	assert.Equal(t, pinned, key(vectorBody))
	assert.Equal(t, pinned, (&paymongo.Event{ID: "evt_test_1"}).IdempotencyKey())
	assert.Equal(t, key(string(paid("evt_1", true))), key(strings.Replace(string(paid("evt_1", true)), `"pending_webhooks":1`, `"pending_webhooks":0`, 1)))
	assert.NotEqual(t, key(string(paid("evt_1", true))), key(string(paid("evt_2", true))))
}
