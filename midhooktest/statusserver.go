package midhooktest

import (
	"bytes"
	"io"
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
	TooMuch                 // 200 with the right answer behind 16 MiB of white space
	Redirecting             // 302 to another host
	Breaking                // the connection breaks before the first byte
)

// StatusServer plays Midtrans' status API, GET /v2/{id}/status, on a loopback
// port. It answers as Midtrans does: 401 for another key than its own, "404" in
// an answer that succeeded for an unknown transaction, 407 for the status_code of
// what is expired and 200 for what was cancelled, and for DANA and the banks
// behind the same interface the transaction_id as order_id. DANA is found only by
// requests with the header transaction-source: SNAP_API. Any other method or path
// is none of the API, the one of an id that is not escaped included.
//
// It is an http.Handler, too, for tests that need no socket.
type StatusServer struct {
	URL string // its base URL, for midhook.WithBaseURL

	server    *httptest.Server
	serverKey string

	mu           sync.Mutex
	transactions map[string]transaction // by both ids
	trouble      Trouble
	requests     int
	connections  int
}

// transaction is what the server says of one.
type transaction struct {
	answer []byte
	snap   bool // only for those who ask for SNAP_API
}

// NewStatusServer starts a server that accepts serverKey and knows no
// transaction. Close it in the end. It panics where nothing can listen on a
// loopback port.
func NewStatusServer(serverKey string) *StatusServer {
	s := &StatusServer{serverKey: serverKey, transactions: map[string]transaction{}}
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

// Close stops the server. A client that still waits for an answer, of a server
// that is Stalling say, finds its connection broken.
func (s *StatusServer) Close() {
	s.Be(Breaking) // for a request that is just coming in
	s.server.CloseClientConnections()
	s.server.Close()
}

// Client returns a client that asks this server. It panics if opts, or the key
// of NewStatusServer, are not to [midhook.NewStatusClient]'s liking.
func (s *StatusServer) Client(opts ...midhook.StatusOption) *midhook.StatusClient {
	c, err := midhook.NewStatusClient(s.serverKey, append([]midhook.StatusOption{midhook.WithBaseURL(s.URL)}, opts...)...)
	if err != nil {
		panic("midhooktest: " + err.Error())
	}
	return c
}

// Put makes n what the server says of its transaction, from now on. Of several
// transactions under one order_id, the one that was put last is found by it.
func (s *StatusServer) Put(n *midhook.Notification) {
	t := transaction{answer: Body(statusOf(n), s.serverKey), snap: n.PaymentType == "dana"}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, id := range [...]string{n.OrderID, n.TransactionID} {
		if id != "" {
			s.transactions[id] = t
		}
	}
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

// ServeHTTP answers one request. Breaking ends it with the panic
// [http.ErrAbortHandler], by which a handler breaks its connection.
func (s *StatusServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	id, isStatus := requestedID(r.URL.EscapedPath())
	s.mu.Lock()
	s.requests++
	trouble := s.trouble
	t, known := s.transactions[id]
	s.mu.Unlock()

	key, password, _ := r.BasicAuth()
	switch {
	case !isStatus || r.Method != http.MethodGet:
		http.NotFound(w, r)
	case trouble == Stalling:
		<-r.Context().Done()
	case trouble == Breaking:
		panic(http.ErrAbortHandler)
	case trouble == Failing:
		http.Error(w, "an error occurred", http.StatusInternalServerError)
	case trouble == Garbage:
		_, _ = io.WriteString(w, "<html>the network's login page</html>")
	case trouble == Redirecting:
		http.Redirect(w, r, "http://elsewhere.example/", http.StatusFound)
	case trouble == TooManyRequests:
		problem(w, http.StatusTooManyRequests, "429")
	case trouble == WrongKey || key != s.serverKey || password != "":
		problem(w, http.StatusUnauthorized, "401")
	case trouble == NothingFound || !known || t.snap && r.Header.Get("transaction-source") != "SNAP_API":
		problem(w, http.StatusOK, "404")
	default:
		w.Header().Set("Content-Type", "application/json")
		if trouble == TooMuch {
			_, _ = w.Write(bytes.Repeat([]byte(" "), 16<<20))
		}
		_, _ = w.Write(t.answer)
	}
}

// requestedID is the id of /v2/{id}/status. In one that is not escaped, a slash
// makes another path, and dots lead elsewhere.
func requestedID(path string) (id string, ok bool) {
	segment, ok := strings.CutPrefix(path, "/v2/")
	if !ok {
		return "", false
	}
	segment, ok = strings.CutSuffix(segment, "/status")
	if !ok || segment == "." || segment == ".." || strings.Contains(segment, "/") {
		return "", false
	}
	id, err := url.PathUnescape(segment)
	return id, err == nil
}

func problem(w http.ResponseWriter, httpStatus int, code string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(httpStatus)
	_, _ = io.WriteString(w, `{"status_code":"`+code+`","status_message":"there is a problem","id":"00000000-0000-4000-8000-000000000000"}`)
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
