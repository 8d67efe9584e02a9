package recurring_test

import (
	"bytes"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/time/rate"

	"github.com/midhook/midhook"
	"github.com/midhook/midhook/midhooktest"
	"github.com/midhook/midhook/recurring"
)

// sampleAPI confirms what the samples and the sender's events say. The latter are of
// subscription-<nr> and transaction-<nr>.
type sampleAPI struct{}

const (
	sampleSub = "db516f5c-4acf-4f67-ac75-bb8428b58633"
	sampleTx  = "2dd96707-8969-4930-9afa-74343b9e2042"
)

func (sampleAPI) RoundTrip(r *http.Request) (*http.Response, error) {
	if key, _, _ := r.BasicAuth(); key != testKey {
		return respond(http.StatusUnauthorized, `{}`), nil
	}
	if id, ok := strings.CutPrefix(r.URL.Path, "/v1/subscriptions/"); ok {
		nr, numbered := strings.CutPrefix(id, "subscription-")
		tx := "transaction-" + nr
		if id == sampleSub {
			tx, numbered = sampleTx, true
		}
		if !numbered {
			return respond(http.StatusNotFound, `{}`), nil
		}
		return respond(http.StatusOK, fmt.Sprintf(`{"id":"%s","name":"MONTHLY_2026","amount":"14000","currency":"IDR","status":"active",
			"token":"481111-tokenized-1114","payment_type":"credit_card","schedule":{"interval":1,"interval_unit":"month","current_interval":1},
			"transaction_ids":["%s"]}`, id, tx)), nil
	}
	id := strings.TrimSuffix(strings.TrimPrefix(r.URL.Path, "/v2/"), "/status")
	if id != sampleTx && !strings.HasPrefix(id, "transaction-") {
		return respond(http.StatusOK, `{"status_code":"404"}`), nil
	}
	return respond(http.StatusOK, fmt.Sprintf(`{"transaction_id":"%s","order_id":"MONTHLY_2026-1","gross_amount":"14000.00","currency":"IDR",
		"status_code":"200","transaction_status":"capture","fraud_status":"accept","payment_type":"credit_card"}`, id)), nil
}

// suite is what every gateway has to stand, and what a stranger can make up.
var suite = midhooktest.GatewayTest{
	Sender: midhooktest.RecurringSender(),
	Secret: testKey,
	New: func(t testing.TB, opts ...midhook.Option) *midhook.Middleware {
		gateway, err := recurring.New(testKey, rate.Limit(1000), 1000, recurring.WithHTTPClient(&http.Client{Transport: sampleAPI{}}))
		require.NoError(t, err)
		hook, err := midhook.NewFor(gateway, opts...)
		require.NoError(t, err)
		return hook
	},
	Unsigned: true,
	Forgeries: map[string]func([]byte, time.Time) (http.Header, []byte){
		"a subscription that is none": func(body []byte, _ time.Time) (http.Header, []byte) {
			return nil, bytes.Replace(body, []byte("subscription-0"), []byte("made-up"), 1)
		},
		"another subscription's payment": func(body []byte, _ time.Time) (http.Header, []byte) {
			return nil, bytes.Replace(body, []byte("transaction-0"), []byte("transaction-1"), 1)
		},
		"more than has happened": func(body []byte, _ time.Time) (http.Header, []byte) {
			return nil, bytes.Replace(body, []byte(`"capture"`), []byte(`"settlement"`), 1)
		},
		"an id that is none": func(body []byte, _ time.Time) (http.Header, []byte) {
			return nil, bytes.Replace(body, []byte("subscription-0"), []byte("../subscription-0"), 1)
		},
		"signed with another key": func([]byte, time.Time) (http.Header, []byte) {
			return midhooktest.RecurringSender().Sign(midhooktest.RecurringSender().Body("signed"), nextKey, time.Time{})
		},
	},
	Sensitive: []string{"481111-tokenized-1114", "Budi", "budi@customer.example", "+62800000000"},
}

func TestGateway(t *testing.T) { midhooktest.TestGateway(t, suite) }

func FuzzGateway(f *testing.F) { midhooktest.FuzzGateway(f, suite) }
