package midhook_test

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"reflect"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/midhook/midhook"
	"github.com/midhook/midhook/midhooktest"
)

// core is the middleware of Midtrans' payments, as one gateway among others.
var core = midhooktest.GatewayTest{
	Sender:     midhooktest.MidtransSender(),
	Secret:     testKey,
	NextSecret: "SB-Mid-server-next",
	New: func(t testing.TB, opts ...midhook.Option) *midhook.Middleware {
		hook, err := midhook.New(testKey, append(opts, midhook.WithServerKey("next", "SB-Mid-server-next"))...)
		require.NoError(t, err)
		return hook
	},
	Forgeries: map[string]func([]byte, time.Time) (http.Header, []byte){
		"with an edited order_id": func(body []byte, _ time.Time) (http.Header, []byte) {
			return nil, bytes.Replace(signedAs(body, testKey), []byte("order-0"), []byte("order-9"), 1)
		},
		"with an edited gross_amount": func(body []byte, _ time.Time) (http.Header, []byte) {
			return nil, bytes.Replace(signedAs(body, testKey), []byte(`.00"`), []byte(`.01"`), 1)
		},
		"without a signature": func(body []byte, _ time.Time) (http.Header, []byte) { return nil, body },
		"pending, edited to settlement": func(body []byte, _ time.Time) (http.Header, []byte) {
			pending := midhooktest.Sample("gopay", midhooktest.Status("201", midhook.StatusPending))
			return nil, bytes.Replace(midhooktest.Body(pending, testKey), []byte(`"pending"`), []byte(`"settlement"`), 1)
		},
	},
	Sensitive: []string{"081234567890"},
}

func signedAs(body []byte, key string) []byte {
	_, signed := midhooktest.MidtransSender().Sign(body, key, time.Time{})
	return signed
}

func TestGateway(t *testing.T) { midhooktest.TestGateway(t, core) }

func FuzzGateway(f *testing.F) { midhooktest.FuzzGateway(f, core) }

// parcel is a notification of a gateway that a merchant might write.
type parcel struct{ ID, Secret string }

func (p *parcel) LogValue() slog.Value { return slog.GroupValue(slog.String("id", p.ID)) }

// courier is that gateway. Its zero value trusts everyone.
type courier struct {
	answer       func(midhook.Outcome) (int, string, string)
	message      func(*parcel) (midhook.Message, error)
	authenticate func(context.Context, midhook.Message) (midhook.Message, error)
}

func (c courier) Open(_ http.Header, body []byte) (midhook.Message, error) {
	p := &parcel{Secret: "not to be seen"}
	if err := json.Unmarshal(body, p); err != nil {
		return midhook.Message{}, fmt.Errorf("%w: no parcel", midhook.ErrMalformed)
	}
	if c.message != nil {
		return c.message(p)
	}
	return midhook.Message{Value: p, Key: "courier " + p.ID, KeyLabel: "depot"}, nil
}

func (c courier) Answer(o midhook.Outcome) (int, string, string) {
	if c.answer != nil {
		return c.answer(o)
	}
	return midhook.PlainAnswer(o)
}

// asking is a courier that proves nothing by itself.
type asking struct{ courier }

func (a asking) Authenticate(ctx context.Context, m midhook.Message) (midhook.Message, error) {
	return a.authenticate(ctx, m)
}

// once is a courier that does not come again.
type once struct{ courier }

func (once) Retries() bool { return false }

// picky is a courier that wants to hear 202 and "thanks".
type picky struct{ courier }

func (picky) Accepts(status int, header http.Header, body []byte) bool {
	return status == http.StatusAccepted && header.Get("X-Kind") == "yes" && string(body) == "thanks"
}

func newCourier(t testing.TB, g midhook.Gateway, opts ...midhook.Option) (*midhook.Middleware, *recorder) {
	t.Helper()
	rec := &recorder{}
	hook, err := midhook.NewFor(g, rec.options(opts)...)
	require.NoError(t, err)
	return hook, rec
}

func hand(h http.Handler, body string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/", bytes.NewReader([]byte(body))))
	return w
}

func TestNewForRefusesAllAtOnce(t *testing.T) {
	var none *courier
	for _, g := range []midhook.Gateway{nil, none} {
		_, err := midhook.NewFor(g, midhook.WithBudget(0))
		assert.ErrorContains(t, err, "gateway: it must not be nil")
		assert.ErrorContains(t, err, "budget")
	}
	client, err := midhook.NewStatusClient(testKey)
	require.NoError(t, err)
	_, err = midhook.NewFor(courier{},
		midhook.WithServerKey("next", testKey),
		midhook.WithStatusCheck(client),
		midhook.WithExpectation(func(context.Context, *midhook.Notification) (midhook.Expectation, error) {
			return midhook.Expectation{}, nil
		}),
		nil)
	for _, want := range []string{"server key: the option is for Midtrans", "status check: the option is", "expectation: the option is", "option 4 is nil"} {
		assert.ErrorContains(t, err, want)
	}
	assert.NotContains(t, err.Error(), testKey)
}

// Rule: an answer that would lose events is found when the server starts.
func TestNewForRefusesAnswers(t *testing.T) {
	for status, want := range map[int]string{
		199: "handled is 199", 302: "handled is 302: 200 to 599 and no redirect", 404: "handled is 404: a 2xx is required", 600: "handled is 600",
	} {
		_, err := midhook.NewFor(courier{answer: func(midhook.Outcome) (int, string, string) { return status, "", "" }})
		assert.ErrorContains(t, err, want)
	}
}

func TestGatewayOfOnesOwn(t *testing.T) {
	hook, rec := newCourier(t, courier{})
	var got *parcel
	h := midhook.HandleValue(hook, func(ctx context.Context, p *parcel) error {
		got, _ = midhook.Value[*parcel](ctx)
		assert.Same(t, p, got)
		_, isNotification := midhook.FromContext(ctx)
		assert.False(t, isNotification)
		_, isText := midhook.Value[string](ctx)
		assert.False(t, isText)
		return nil
	})
	w := hand(h, `{"ID":"7"}`)
	assert.Equal(t, 200, w.Code)
	assert.Equal(t, "handled\n", w.Body.String())
	require.NotNil(t, got)
	assert.Equal(t, "7", got.ID)

	e := rec.last()
	assert.Same(t, got, e.Value)
	assert.Nil(t, e.Notification)
	assert.Equal(t, "depot", e.KeyLabel)
	text, err := json.Marshal(e)
	require.NoError(t, err)
	all := fmt.Sprintf("%s %s %v %+v %#v", rec.logged(), text, e, e, e)
	assert.Contains(t, all, "notification.id=7")
	assert.Contains(t, string(text), `"notification":{"id":"7"}`)
	assert.NotContains(t, all, "not to be seen")

	assert.Equal(t, "already handled\n", hand(h, `{"ID":"7"}`).Body.String())
	assert.Equal(t, 400, hand(h, `{"ID":`).Code)
	_, ok := midhook.Value[*parcel](t.Context())
	assert.False(t, ok, "outside of a handler there is no value")
}

// Rule: a value that does not say what may be seen of it is not shown at all.
func TestGatewayValueThatCannotHide(t *testing.T) {
	type bare struct{ Secret string }
	hook, rec := newCourier(t, courier{message: func(*parcel) (midhook.Message, error) {
		return midhook.Message{Value: bare{"not to be seen"}, Key: "1"}, nil
	}})
	assert.Equal(t, 200, hand(hook.Handler(&counter{}), `{}`).Code)
	e := rec.last()
	text, err := json.Marshal(e)
	require.NoError(t, err)
	all := fmt.Sprintf("%s %s %v %+v %#v", rec.logged(), text, e, e, e)
	assert.NotContains(t, all, "not to be seen")
	assert.Contains(t, all, "midhook_test.bare")
}

// Rule: nothing runs unclaimed, also when a gateway does not name the event.
func TestGatewayWithoutEvent(t *testing.T) {
	hook, rec := newCourier(t, courier{message: func(p *parcel) (midhook.Message, error) {
		return midhook.Message{Value: p}, nil
	}})
	runs := &counter{}
	assert.Equal(t, 400, hand(hook.Handler(runs), `{}`).Code)
	assert.Zero(t, runs.runs.Load())
	assert.ErrorContains(t, rec.last().Err, "did not say which event")
	assert.ErrorContains(t, hook.HandleMessage(t.Context(), midhook.Message{}, nil, runs), "did not say which event")
}

func TestGatewayErrors(t *testing.T) {
	for name, test := range map[string]struct {
		err     error
		outcome midhook.Outcome
		status  int
	}{
		"malformed":   {midhook.ErrMalformed, midhook.OutcomeMalformed, 400},
		"signature":   {fmt.Errorf("%w: none", midhook.ErrSignature), midhook.OutcomeForged, 403},
		"unconfirmed": {midhook.ErrUnconfirmed, midhook.OutcomeUnconfirmed, 403},
		"any other":   {errors.New("odd"), midhook.OutcomeMalformed, 400},
	} {
		t.Run(name, func(t *testing.T) {
			hook, rec := newCourier(t, courier{message: func(p *parcel) (midhook.Message, error) {
				return midhook.Message{Value: p, Key: "1"}, test.err
			}})
			runs := &counter{}
			assert.Equal(t, test.status, hand(hook.Handler(runs), `{}`).Code)
			assert.Equal(t, test.outcome, rec.last().Outcome)
			assert.Zero(t, runs.runs.Load())
		})
	}
}

// untouchable is a store that must not be called.
type untouchable struct {
	midhook.Store
	t *testing.T
}

func (s untouchable) Acquire(context.Context, midhook.Claim) (midhook.ClaimState, error) {
	s.t.Error("what is not authentic came as far as the store")
	return 0, errors.New("untouchable")
}

// Rule: what only an API can prove is claimed when it is proven, and not before.
func TestAuthenticator(t *testing.T) {
	for name, test := range map[string]struct {
		err     error
		outcome midhook.Outcome
		status  int
	}{
		"unconfirmed": {midhook.ErrUnconfirmed, midhook.OutcomeContradicted, 403},
		"signature":   {midhook.ErrSignature, midhook.OutcomeForged, 403},
		"malformed":   {midhook.ErrMalformed, midhook.OutcomeMalformed, 400},
		"rate":        {midhook.ErrRateLimited, midhook.OutcomeRateLimited, 503},
		"any other":   {errors.New("API away"), midhook.OutcomeStatusUnavailable, 503},
		"an API's answer that cannot be read": {
			fmt.Errorf("%w: %w", midhook.ErrStatusUnavailable, midhook.ErrMalformed), midhook.OutcomeStatusUnavailable, 503,
		},
	} {
		t.Run(name, func(t *testing.T) {
			hook, rec := newCourier(t, asking{courier{authenticate: func(_ context.Context, m midhook.Message) (midhook.Message, error) {
				return m, test.err
			}}}, midhook.WithStore(untouchable{t: t}))
			runs := &counter{}
			assert.Equal(t, test.status, hand(hook.Handler(runs), `{"ID":"7"}`).Code)
			assert.Equal(t, test.outcome, rec.last().Outcome)
			assert.Nil(t, rec.last().Value, "nothing of it is authentic")
			assert.Zero(t, runs.runs.Load())
		})
	}
	t.Run("replaces the message", func(t *testing.T) {
		hook, rec := newCourier(t, asking{courier{authenticate: func(_ context.Context, m midhook.Message) (midhook.Message, error) {
			return midhook.Message{Value: &parcel{ID: "true"}, Key: "true"}, nil
		}}})
		h := midhook.HandleValue(hook, func(_ context.Context, p *parcel) error {
			assert.Equal(t, "true", p.ID)
			return nil
		})
		assert.Equal(t, 200, hand(h, `{"ID":"claimed"}`).Code)
		assert.Equal(t, "already handled\n", hand(h, `{"ID":"claimed otherwise"}`).Body.String())
		assert.Contains(t, rec.logged(), "notification.id=true")
	})
	t.Run("not after Open refused", func(t *testing.T) {
		hook, _ := newCourier(t, asking{courier{
			message: func(*parcel) (midhook.Message, error) { return midhook.Message{}, midhook.ErrSignature },
			authenticate: func(context.Context, midhook.Message) (midhook.Message, error) {
				t.Error("a stranger made us call the API")
				return midhook.Message{}, nil
			},
		}})
		assert.Equal(t, 403, hand(hook.Handler(&counter{}), `{}`).Code)
	})
	t.Run("test notification", func(t *testing.T) {
		hook, rec := newCourier(t, asking{courier{authenticate: func(_ context.Context, m midhook.Message) (midhook.Message, error) {
			m.Test = true
			return m, nil
		}}})
		runs := &counter{}
		assert.Equal(t, 200, hand(hook.Handler(runs), `{"ID":"7"}`).Code)
		assert.Equal(t, midhook.OutcomeTest, rec.last().Outcome)
		assert.Zero(t, runs.runs.Load())
	})
}

// Rule: an API that hangs does not hold the answer back, and its answer after the
// budget runs nothing.
func TestAuthenticatorThatHangs(t *testing.T) {
	for name, heeds := range map[string]bool{"heeds its context": true, "does not": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				hook, rec := newCourier(t, asking{courier{authenticate: func(ctx context.Context, m midhook.Message) (midhook.Message, error) {
					if heeds {
						<-ctx.Done()
						return m, context.Cause(ctx)
					}
					time.Sleep(8 * time.Second)
					return m, nil
				}}})
				runs := &counter{}
				_, client := bubble(t, "HTTP/1.1", hook.Handler(runs))
				start := time.Now()
				res := post(t, client, bubbleURL, []byte(`{"ID":"7"}`))
				assert.Equal(t, 5*time.Second, time.Since(start))
				assert.Equal(t, 503, res.StatusCode)
				time.Sleep(10 * time.Second)
				assert.Zero(t, runs.runs.Load())
				// Both are at the budget, and either may be the first to say so.
				assert.Contains(t, []midhook.Outcome{midhook.OutcomeBudgetExceeded, midhook.OutcomeStatusUnavailable}, rec.outcomes()[0])
			})
		})
	}
}

// attentive is a gateway whose Accepts remembers what it was asked about.
type attentive struct {
	courier
	status *int
}

func (a attentive) Accepts(status int, _ http.Header, _ []byte) bool {
	*a.status = status
	return true
}

// Rule: Accepts is asked about what would go out: a handler that writes nothing says 200.
func TestAcceptorOfSilence(t *testing.T) {
	var asked int
	hook, _ := newCourier(t, attentive{courier{answer: midhook.PlainAnswer}, &asked})
	assert.Equal(t, 200, hand(hook.Handler(&counter{}), `{"ID":"7"}`).Code)
	assert.Equal(t, 200, asked)
}

func TestAcceptor(t *testing.T) {
	answer := func(o midhook.Outcome) (int, string, string) {
		if o == midhook.OutcomeHandled {
			return http.StatusAccepted, "text/thanks", "thanks"
		}
		return midhook.PlainAnswer(o)
	}
	for name, test := range map[string]struct {
		do   http.HandlerFunc
		kind string
	}{
		"nothing":        {nil, "text/thanks"},
		"another status": {func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "thanks") }, "text/thanks"},
		"another body": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-Kind", "yes")
			w.WriteHeader(202)
		}, "text/thanks"},
		"what it wants": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/own")
			w.Header().Set("X-Kind", "yes")
			w.WriteHeader(202)
			_, _ = io.WriteString(w, "thanks")
		}, "text/own"},
	} {
		t.Run(name, func(t *testing.T) {
			hook, rec := newCourier(t, picky{courier{answer: answer}})
			w := hand(hook.Handler(&counter{do: test.do}), `{"ID":"7"}`)
			assert.Equal(t, 202, w.Code)
			assert.Equal(t, "thanks", w.Body.String())
			assert.Equal(t, test.kind, w.Header().Get("Content-Type"))
			assert.Equal(t, midhook.OutcomeHandled, rec.last().Outcome)
			assert.Equal(t, 202, rec.last().StatusCode)
		})
	}
	t.Run("a refusal is the handler's", func(t *testing.T) {
		hook, _ := newCourier(t, picky{courier{answer: answer}})
		w := hand(hook.Handler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(409) })), `{"ID":"7"}`)
		assert.Equal(t, 409, w.Code)
	})
}

// Rule: where nobody comes again, what a wait within the budget can save is not
// sent away.
func TestRetrierThatDoesNot(t *testing.T) {
	for name, test := range map[string]struct {
		took     time.Duration
		fails    bool
		runs     int64
		second   int
		answered time.Duration // after its arrival, a second after the first
	}{
		"the first succeeds":       {took: 3 * time.Second, runs: 1, second: 200},
		"the first fails":          {took: 3 * time.Second, fails: true, runs: 2, second: 200},
		"the first takes for ever": {took: 20 * time.Second, runs: 1, second: 503},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				hook, rec := newCourier(t, once{})
				runs := &counter{}
				runs.do = func(w http.ResponseWriter, _ *http.Request) {
					if runs.runs.Load() == 1 {
						time.Sleep(test.took)
						if test.fails {
							w.WriteHeader(500)
						}
					}
				}
				h := hook.Handler(runs)
				first := make(chan struct{})
				go func() { defer close(first); hand(h, `{"ID":"7"}`) }()
				time.Sleep(time.Second)
				start := time.Now()
				w := hand(h, `{"ID":"7"}`)
				assert.Equal(t, test.second, w.Code)
				assert.LessOrEqual(t, time.Since(start), 5*time.Second)
				assert.GreaterOrEqual(t, time.Since(start), min(test.took-time.Second, 4900*time.Millisecond))
				<-first
				assert.Equal(t, test.runs, runs.runs.Load())
				if test.second == 503 {
					assert.Contains(t, rec.outcomes(), midhook.OutcomeInFlight)
				}
			})
		})
	}
}

// lossy is a store whose first answers are lost, but not what was asked.
type lossy struct {
	midhook.Store
	losses int
}

func (s *lossy) Acquire(ctx context.Context, c midhook.Claim) (midhook.ClaimState, error) {
	state, err := s.Store.Acquire(ctx, c)
	if s.losses > 0 {
		s.losses--
		return 0, errors.New("the answer was lost")
	}
	return state, err
}

// Rule: a claim whose answer was lost is the delivery's own when it asks again, and
// settled once.
func TestRetrierMeetsItsOwnClaim(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hook, rec := newCourier(t, once{}, midhook.WithStore(&lossy{midhook.NewLRUStore(8), 3}))
		runs := &counter{}
		assert.Equal(t, 200, hand(hook.Handler(runs), `{"ID":"7"}`).Code)
		assert.Equal(t, int64(1), runs.runs.Load())
		assert.NoError(t, rec.last().Err)
		assert.Equal(t, "already handled\n", hand(hook.Handler(runs), `{"ID":"7"}`).Body.String())
	})
}

// Rule: a header reaches the gateway as it came.
func TestGatewayReadsTheHeader(t *testing.T) {
	mac := hmac.New(sha256.New, []byte("courier-test"))
	mac.Write([]byte(`{"ID":"7"}`))
	want := hex.EncodeToString(mac.Sum(nil))
	hook, _ := newCourier(t, headed{})
	r := httptest.NewRequest(http.MethodPost, "/", bytes.NewReader([]byte(`{"ID":"7"}`)))
	r.Header.Set("X-Courier-Mac", want)
	w := httptest.NewRecorder()
	hook.Handler(&counter{}).ServeHTTP(w, r)
	assert.Equal(t, 200, w.Code)
	assert.Equal(t, 403, hand(hook.Handler(&counter{}), `{"ID":"7"}`).Code)
}

// headed is a courier that signs in a header.
type headed struct{ courier }

func (h headed) Open(header http.Header, body []byte) (midhook.Message, error) {
	mac := hmac.New(sha256.New, []byte("courier-test"))
	mac.Write(body)
	given, err := hex.DecodeString(header.Get("X-Courier-Mac"))
	if err != nil || !hmac.Equal(given, mac.Sum(nil)) {
		return midhook.Message{}, midhook.ErrSignature
	}
	return h.courier.Open(header, body)
}

// Rule: a gateway that panics is told of, and the panic goes on up the stack.
func TestGatewayPanics(t *testing.T) {
	for name, opts := range map[string][]midhook.Option{"inline": nil, "detached": {midhook.WithDetachedHandler()}} {
		t.Run(name, func(t *testing.T) {
			hook, rec := newCourier(t, courier{message: func(*parcel) (midhook.Message, error) { panic("no parcel") }}, opts...)
			assert.PanicsWithValue(t, "no parcel", func() { hand(hook.Handler(&counter{}), `{}`) })
			assert.Equal(t, []midhook.Outcome{midhook.OutcomeHandlerPanicked}, rec.outcomes())
			assert.ErrorContains(t, rec.last().Err, "gateway panicked: no parcel")
			assert.Contains(t, rec.logged(), "stack=")
		})
	}
}

// moody panics when it is asked whether it is content.
type moody struct{ courier }

func (moody) Accepts(int, http.Header, []byte) bool { panic("not today") }

// Rule: what the handler did is not undone by a gateway that panics afterwards.
func TestAcceptsPanics(t *testing.T) {
	hook, rec := newCourier(t, moody{})
	runs := &counter{}
	for range 2 {
		assert.Equal(t, 200, hand(hook.Handler(runs), `{"ID":"7"}`).Code)
	}
	assert.Equal(t, int64(1), runs.runs.Load())
	assert.Equal(t, []midhook.Outcome{midhook.OutcomeHandled, midhook.OutcomeDuplicate}, rec.outcomes())
	assert.Contains(t, rec.logged(), "not today")
}

// Rule: the answer that was checked is the one that is sent.
func TestAnswerIsAskedForOnce(t *testing.T) {
	asked := map[midhook.Outcome]int{}
	newCourier(t, courier{answer: func(o midhook.Outcome) (int, string, string) {
		asked[o]++
		return midhook.PlainAnswer(o)
	}})
	assert.Equal(t, 1, asked[midhook.OutcomeHandled])
	for o, times := range asked {
		assert.Equal(t, 1, times, o)
	}
}

type card string

func (card) LogValue() slog.Value { return slog.StringValue("hidden") }

type purse struct{}

func (purse) LogValue() slog.Value {
	return slog.GroupValue(slog.String("id", "7"), slog.Any("card", card("not to be seen")))
}

// Rule: what hides itself inside of a value is hidden, too.
func TestGatewayValueThatHidesDeeper(t *testing.T) {
	hook, rec := newCourier(t, courier{message: func(*parcel) (midhook.Message, error) {
		return midhook.Message{Value: purse{}, Key: "1"}, nil
	}})
	assert.Equal(t, 200, hand(hook.Handler(&counter{}), `{}`).Code)
	e := rec.last()
	text, err := json.Marshal(e)
	require.NoError(t, err)
	all := fmt.Sprintf("%s %s %s %v %+v %#v", rec.logged(), text, e.String(), e, e, e)
	assert.NotContains(t, all, "not to be seen")
	assert.Contains(t, all, "hidden")
}

// Rule: a store that stumbles once leaves no error behind where it did not matter.
func TestRetrierStumbles(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &lossy{Store: midhook.NewLRUStore(8)}
		hook, rec := newCourier(t, once{}, midhook.WithStore(store))
		h := hook.Handler(&counter{})
		assert.Equal(t, 200, hand(h, `{"ID":"7"}`).Code)
		store.losses = 1
		assert.Equal(t, "already handled\n", hand(h, `{"ID":"7"}`).Body.String())
		assert.NoError(t, rec.last().Err)
	})
}

// Rule: where nobody comes again, an event that was handled is marked again and again for
// as long as there is time, and another owner's claim is left alone at once.
func TestRetrierMarksAgain(t *testing.T) {
	for failure, tries := range map[error]int{errors.New("connection reset"): 3, midhook.ErrNotOwner: 1} {
		synctest.Test(t, func(t *testing.T) {
			store, fails := &spyStore{Store: midhook.NewLRUStore(8)}, 2
			store.finish = func(ctx context.Context, c midhook.Claim) error {
				if fails--; fails >= 0 {
					return failure
				}
				return store.Store.Finish(ctx, c, time.Hour)
			}
			hook, rec := newCourier(t, once{}, midhook.WithStore(store))
			h := hook.Handler(&counter{})
			assert.Equal(t, 200, hand(h, `{"ID":"7"}`).Code)
			assert.Len(t, store.calls, 1+tries)
			if tries > 1 {
				assert.NoError(t, rec.last().Err)
				assert.Equal(t, "already handled\n", hand(h, `{"ID":"7"}`).Body.String())
			} else {
				assert.ErrorIs(t, rec.last().Err, failure)
			}
		})
	}
}

// Rule: an outcome that a gateway of someone's own does not know is answered with
// PlainAnswer, and nothing that is not handled may be answered with a success.
func TestAnswersOfAnotherVersion(t *testing.T) {
	_, err := midhook.NewFor(courier{answer: func(o midhook.Outcome) (int, string, string) {
		if o == midhook.OutcomeHandled {
			return 200, "text/plain", "ok"
		}
		return 0, "", ""
	}})
	require.NoError(t, err)
	for o := midhook.OutcomeHandled; o.String() != fmt.Sprintf("Outcome(%d)", int(o)); o++ {
		status, _, _ := midhook.PlainAnswer(o)
		_, err := midhook.NewFor(courier{answer: func(asked midhook.Outcome) (int, string, string) {
			if asked == o {
				return 204, "", ""
			}
			return midhook.PlainAnswer(asked)
		}})
		if status == 200 || o == midhook.OutcomeLateHandled {
			assert.NoError(t, err, o)
		} else {
			assert.ErrorContains(t, err, "would lose what is not handled yet", o)
		}
	}
}

// Rule: a Middleware that was not made by a constructor is found when the server starts.
func TestNilMiddlewarePanicsAtStartUp(t *testing.T) {
	for _, m := range []*midhook.Middleware{nil, {}} {
		for name, use := range map[string]func(){
			"Handler":     func() { m.Handler(&counter{}) },
			"HandlerFunc": func() { m.HandlerFunc(func(context.Context, *midhook.Notification) error { return nil }) },
			"Attached":    func() { m.Attached() },
		} {
			assert.PanicsWithValue(t, "midhook: nil Middleware: check the error of New", use, name)
		}
	}
}

// Rule: what is returned as an http.Handler has ServeHTTP and nothing else.
func TestHandlerHasOneMethod(t *testing.T) {
	hook, _ := newHook(t)
	assert.Equal(t, 1, reflect.TypeOf(hook.Handler(&counter{})).NumMethod())
}
