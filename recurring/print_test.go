package recurring_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/midhook/midhook"
	"github.com/midhook/midhook/recurring"
)

// Rule: token, name and customer are in no printed form.
func TestPrintsNothingSensitive(t *testing.T) {
	for _, body := range []string{subscription(), documented, charge(subID, txID, "capture"), failed("411"), payment("settlement", testKey)} {
		n, err := recurring.Parse([]byte(body))
		require.NoError(t, err)
		for _, v := range []any{n, *n, n.Subscription, &n.Subscription, []any{*n}, struct{ N recurring.Notification }{*n}} {
			printed := inEveryForm(v)
			assert.Contains(t, printed, subID)
			assertNothingSensitive(t, printed)
		}
	}
	var none *recurring.Notification
	assert.NotPanics(t, func() { inEveryForm(none) })
}

// Rule: the secrets of a gateway are in no printed form of it.
func TestGatewayPrintsNoKey(t *testing.T) {
	g, err := recurring.New(testKey, 1, 1, recurring.WithServerKey("next", nextKey))
	require.NoError(t, err)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%d"} {
		printed := fmt.Sprintf(verb, g) + fmt.Sprintf(verb, []*recurring.Gateway{g})
		assert.Contains(t, printed, "recurring.Gateway(https://api.sandbox.midtrans.com)")
		assertNothingSensitive(t, printed)
	}
}

// Rule: what wants a merchant's attention says so, and nothing else does.
func TestAttention(t *testing.T) {
	api := newAPI()
	s := newShop(t, api, shopOptions{})
	attention := func(body string) string {
		require.Equal(t, http.StatusOK, s.post(body).Code)
		return s.got[len(s.got)-1].Attention()
	}
	assert.Empty(t, attention(subscription()))
	assert.Empty(t, attention(charge(subID, txID, "capture")))
	assert.NotEmpty(t, attention(failed("411")))
	api.change(func(a *fakeAPI) {
		a.subscriptions[subID] = strings.Replace(subscription(listing(txID)), `"active"`, `"inactive"`, 1)
	})
	assert.NotEmpty(t, attention(subscription()))
}

// Rule: no verb finds a key by reflection, where a gateway lies in an unexported
// field.
func TestKeysBehindReflection(t *testing.T) {
	g, err := recurring.New(testKey, 1, 1, recurring.WithServerKey("next", nextKey))
	require.NoError(t, err)
	for _, v := range []any{struct{ g *recurring.Gateway }{g}, struct{ g midhook.Gateway }{g}, &struct{ g *recurring.Gateway }{g}, map[string]struct{ g *recurring.Gateway }{"": {g}}} {
		assertNothingSensitive(t, inEveryForm(v))
	}
}
