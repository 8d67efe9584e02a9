package midhooktest_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/midhook/midhook"
	"github.com/midhook/midhook/midhooktest"
)

const key = "SB-Mid-server-test"

// parse reads a body that must be a notification signed with key.
func parse(t *testing.T, body []byte) *midhook.Notification {
	t.Helper()
	n, err := midhook.Parse(body)
	if err != nil {
		t.Fatalf("%v in %s", err, body)
	}
	if err := midhook.Verify(n, key); err != nil {
		t.Fatalf("%v in %s", err, body)
	}
	return n
}

func TestSignMatchesMidtransWorkedExample(t *testing.T) {
	n := &midhook.Notification{OrderID: "1111", StatusCode: "200", GrossAmount: "100000.00"}
	got := midhooktest.Sign(n, "askvnoibnosifnboseofinbofinfgbiufglnbfg")
	if !strings.HasPrefix(got, "edc076b21793ebe3") || !strings.HasSuffix(got, "4d4c231") || len(got) != 128 {
		t.Errorf("got %s", got)
	}
}

// Body starts from what was received: whatever it does not know must stay, and
// what the test changed in the struct must be there.
func TestBodyOverlaysChangedFields(t *testing.T) {
	n, err := midhook.Parse([]byte(`{
		"new_field": {"deep": [12345678901234567890, 1e2]},
		"order_id": "A-1", "status_code": 200, "gross_amount": 10000.00,
		"transaction_status": "SETTLEMENT", "fraud_status": null,
		"va_numbers": [{"va_number": "1", "bank": "bca", "unknown": 7}, {"va_number": "2", "bank": "bni"}],
		"payment_amounts": [], "metadata": {"a": 1, "b": 2},
		"on_us": true, "challenge_completion": false, "currency": "IDR", "bank": {"odd": "type"},
		"signature_key": "forged"
	}`))
	if err != nil {
		t.Fatal(err)
	}
	n.GrossAmount = "20000.00"
	n.VANumbers[0].Bank = "bri"
	n.OnUs = false
	n.Currency = ""
	n.Store = "alfamart"
	n.Metadata = json.RawMessage(`{"b": 3}`)
	want := `{"new_field":{"deep":[12345678901234567890,1e2]},` +
		`"order_id":"A-1","status_code":200,"gross_amount":20000.00,` +
		`"transaction_status":"SETTLEMENT","fraud_status":null,` +
		`"va_numbers":[{"va_number":"1","bank":"bri","unknown":7},{"va_number":"2","bank":"bni"}],` +
		`"payment_amounts":[],"metadata":{"b":3},` +
		`"challenge_completion":false,"bank":{"odd":"type"},` +
		`"signature_key":"` + midhooktest.Sign(n, key) + `","store":"alfamart"}`
	got := midhooktest.Body(n, key)
	if string(got) != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	parse(t, got)
	if n.SignatureKey != "forged" {
		t.Error("Body must not change its argument")
	}

	n.VANumbers = nil
	if got := parse(t, midhooktest.Body(n, key)); len(got.VANumbers) != 0 {
		t.Error("va_numbers was taken out")
	}
}

// Where a body has items that a Notification leaves out, an item's place in the
// body is not known: the items of the struct stand alone.
func TestBodyOfAnArrayThatWasNotReadWhole(t *testing.T) {
	n, err := midhook.Parse([]byte(`{"order_id":"A-1","status_code":"200","gross_amount":"1.00",
		"va_numbers":["odd", {"va_number":"1","bank":"bca"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	if got := midhooktest.Body(n, key); !bytes.Contains(got, []byte(`"va_numbers":["odd",{"va_number"`)) {
		t.Errorf("nothing was changed, but got %s", got)
	}
	n.VANumbers[0].Bank = "bni"
	if got := midhooktest.Body(n, key); !bytes.Contains(got, []byte(`"va_numbers":[{"va_number":"1","bank":"bni"}]`)) {
		t.Errorf("got %s", got)
	}
}

func TestBodyOfAHandMadeNotification(t *testing.T) {
	body := midhooktest.Body(&midhook.Notification{
		OrderID: "A-1", StatusCode: "200", GrossAmount: "10000.00",
		TransactionStatus: midhook.StatusRefund,
		Metadata:          json.RawMessage(`{"a": "<1>"}`),
		Refunds:           []midhook.Refund{{RefundChargebackID: "202502070943231234"}},
	}, key)
	n := parse(t, body)
	want := `{"order_id":"A-1","status_code":"200","gross_amount":"10000.00","signature_key":"` + n.SignatureKey +
		`","transaction_status":"refund","metadata":{"a":"<1>"},"refunds":[{"refund_chargeback_id":202502070943231234}]}`
	if string(body) != want {
		t.Errorf("got  %s\nwant %s", body, want)
	}

	account := parse(t, midhooktest.Body(&midhook.Notification{AccountID: "X", AccountStatus: "DISABLED", StatusCode: "204"}, key))
	if account.Kind() != midhook.PayAccount {
		t.Errorf("kind is %v", account.Kind())
	}
}

func TestNewRequest(t *testing.T) {
	hook, err := midhook.New(key, midhook.WithLogger(slog.New(slog.DiscardHandler)))
	if err != nil {
		t.Fatal(err)
	}
	var got *http.Request
	mux := http.NewServeMux()
	mux.Handle("/{$}", hook.HandlerFunc(func(context.Context, *midhook.Notification) error { return nil }))
	outer := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = r
		mux.ServeHTTP(w, r)
	})

	t.Run("recorder", func(t *testing.T) {
		rec := httptest.NewRecorder()
		outer.ServeHTTP(rec, midhooktest.NewRequest(midhooktest.Sample("gopay"), key))
		if rec.Code != http.StatusOK {
			t.Errorf("answer is %d %s", rec.Code, rec.Body)
		}
	})
	t.Run("server", func(t *testing.T) {
		server := httptest.NewServer(outer)
		defer server.Close()
		r := midhooktest.NewRequest(midhooktest.Sample("bca-va"), key)
		r.URL, err = url.Parse(server.URL + "/")
		if err != nil {
			t.Fatal(err)
		}
		resp, err := server.Client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if line, _ := io.ReadAll(resp.Body); resp.StatusCode != http.StatusOK {
			t.Errorf("answer is %d %s", resp.StatusCode, line)
		}
	})
	for name, want := range map[string]string{"Content-Type": "application/json", "User-Agent": "Veritrans", "Accept": "application/json"} {
		if value := got.Header.Get(name); value != want {
			t.Errorf("%s is %q, want %q", name, value, want)
		}
	}
}
