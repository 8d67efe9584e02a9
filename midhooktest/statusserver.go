package midhooktest

import (
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"

	"github.com/midhook/midhook"
)

// Trouble is a way in which a [StatusServer] fails to answer.
type Trouble int

const (
	NoTrouble       Trouble = iota
	NothingFound            // every transaction is unknown
	WrongKey                // 401
	TooManyRequests         // 429
	Failing                 // 500
	Stalling                // no answer until the client gives up
	Garbage                 // 200 with a page that is no JSON
	TooMuch                 // 200 with an endless answer
	Redirecting             // 302 to another host
	Breaking                // the connection breaks before the first byte
)

// StatusServer plays Midtrans' status API, GET /v2/{id}/status, on a loopback
// port. It answers as Midtrans does: 401 for another key than its own, "404" in
// an answer that succeeded for an unknown transaction, 407 for the status_code of
// what is expired and 200 for what was cancelled, and for DANA and the banks
// behind the same interface the transaction_id as order_id. DANA is found only by
// requests with the header transaction-source: SNAP_API.
//
// It is an http.Handler, too, for tests that need no socket.
type StatusServer struct {
	URL string // its base URL, for midhook.WithBaseURL

	server    *httptest.Server
	serverKey string

	mu           sync.Mutex
	transactions map[string]*midhook.Notification // by both ids
	trouble      Trouble
	requests     int
	connections  int
	done         chan struct{}
}

// NewStatusServer starts a server that accepts serverKey and knows no
// transaction. Close it in the end.
func NewStatusServer(serverKey string) *StatusServer {
	s := &StatusServer{serverKey: serverKey, transactions: map[string]*midhook.Notification{}, done: make(chan struct{})}
	s.server = httptest.NewUnstartedServer(s)
	s.server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.connections++
		}
	}
	s.server.Start()
	s.URL = s.server.URL
	return s
}

// Close stops the server, what stalls included.
func (s *StatusServer) Close() {
	close(s.done)
	s.server.CloseClientConnections()
	s.server.Close()
}

// Client returns a client that asks this server.
func (s *StatusServer) Client(opts ...midhook.StatusOption) *midhook.StatusClient {
	c, err := midhook.NewStatusClient(s.serverKey, append([]midhook.StatusOption{midhook.WithBaseURL(s.URL)}, opts...)...)
	if err != nil {
		panic("midhooktest: " + err.Error())
	}
	return c
}

// Put makes n what the server says of its transaction, from now on.
func (s *StatusServer) Put(n *midhook.Notification) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.transactions[n.OrderID], s.transactions[n.TransactionID] = n, n
}

// Be sets the trouble the server is in, NoTrouble to end it.
func (s *StatusServer) Be(t Trouble) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.trouble = t
}

// Requests returns how many requests there were.
func (s *StatusServer) Requests() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.requests
}

// Connections returns how many connections were opened.
func (s *StatusServer) Connections() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.connections
}

func (s *StatusServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.requests++
	trouble := s.trouble
	id, found := strings.CutSuffix(strings.TrimPrefix(r.URL.EscapedPath(), "/v2/"), "/status")
	id, err := url.PathUnescape(id)
	n := s.transactions[id]
	s.mu.Unlock()

	key, password, _ := r.BasicAuth()
	switch {
	case trouble == Stalling:
		select {
		case <-r.Context().Done():
		case <-s.done:
		}
		return
	case trouble == Breaking:
		panic(http.ErrAbortHandler)
	case trouble == Failing:
		http.Error(w, "an error occurred", http.StatusInternalServerError)
	case trouble == Garbage:
		_, _ = w.Write([]byte("<html>the network's login page</html>"))
	case trouble == TooMuch:
		for err := error(nil); err == nil; {
			_, err = w.Write(make([]byte, 4096))
		}
	case trouble == Redirecting:
		http.Redirect(w, r, "http://elsewhere.example/", http.StatusFound)
	case trouble == TooManyRequests:
		problem(w, http.StatusTooManyRequests, "429")
	case trouble == WrongKey || key != s.serverKey || password != "":
		problem(w, http.StatusUnauthorized, "401")
	case !found || err != nil || r.Method != http.MethodGet:
		http.NotFound(w, r)
	case trouble == NothingFound || n == nil || n.PaymentType == "dana" && r.Header.Get("transaction-source") != "SNAP_API":
		problem(w, http.StatusOK, "404")
	default:
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(Body(statusOf(n), s.serverKey))
	}
}

func problem(w http.ResponseWriter, httpStatus int, code string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(httpStatus)
	_, _ = w.Write([]byte(`{"status_code":"` + code + `","status_message":"there is a problem","id":"00000000-0000-4000-8000-000000000000"}`))
}

// statusOf is n as GET status has it.
func statusOf(n *midhook.Notification) *midhook.Notification {
	answer := *n
	switch n.TransactionStatus {
	case midhook.StatusExpire:
		answer.StatusCode = "407"
	case midhook.StatusCancel:
		answer.StatusCode = "200"
	}
	snap := n.PaymentType == "dana" || slices.ContainsFunc(n.VANumbers, func(va midhook.VANumber) bool {
		return slices.Contains([]string{"danamon", "bsi", "seabank", "saqu"}, va.Bank)
	})
	if snap {
		answer.OrderID = n.TransactionID
	}
	return &answer
}
