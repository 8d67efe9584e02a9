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

// StatusServer plays Midtrans' status API, GET /v2/{id}/status, and its Pay Account
// API, GET /v2/pay/account/{account_id}, on a loopback port. It answers as Midtrans
// does: 401 for another key than its own, "404" in an answer that succeeded for an
// unknown transaction, 407 for the status_code of what is expired and 200 for what
// was cancelled, and for DANA and the banks behind the same interface the
// transaction_id as order_id. Any other method or path does not belong to the
// API, nor does the path of an id that is not escaped.
//
// An order can have several transactions. Each is found by its transaction_id. By
// order_id a plain request finds the last one that was put and is not DANA's, and a
// request with the header transaction-source: SNAP_API the last one that is DANA's or
// one of those banks'. Neither finds a payment before what was put after it, as
// little as Midtrans does.
//
// It is an http.Handler, too, for tests that need no socket.
type StatusServer struct {
	URL string // its base URL, for midhook.WithBaseURL

	server    *httptest.Server
	serverKey string

	mu           sync.Mutex
	transactions map[string][]*transaction  // by each of their ids, in the order in which they were put last
	latest       map[[2]string]*transaction // by name
	accounts     map[string][]byte          // the answers about Pay Accounts
	trouble      Trouble
	requests     int
	connections  int
}

// transaction is what the server says of one.
type transaction struct {
	id, orderID string
	answer      []byte
	plain, snap bool // found by requests of that kind
}

// name is the same for transactions that replace each other.
func (t *transaction) name() [2]string {
	if t.id == "" {
		return [2]string{"order", t.orderID}
	}
	return [2]string{"transaction", t.id}
}

// ids are what the transaction is found by.
func (t *transaction) ids() []string {
	ids := slices.Compact([]string{t.id, t.orderID})
	return slices.DeleteFunc(ids, func(id string) bool { return id == "" })
}

// NewStatusServer starts a server that accepts serverKey and knows no
// transaction. Close it in the end. It panics where nothing can listen on a
// loopback port.
func NewStatusServer(serverKey string) *StatusServer {
	s := &StatusServer{serverKey: serverKey, transactions: map[string][]*transaction{}, latest: map[[2]string]*transaction{}, accounts: map[string][]byte{}}
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

// Put makes n what the server says of its transaction or Pay Account, from now on.
// The order's other transactions stay; one without a transaction_id replaces another
// such one of its order.
func (s *StatusServer) Put(n *midhook.Notification) {
	answer := Body(statusOf(n), s.serverKey)
	s.mu.Lock()
	defer s.mu.Unlock()
	if n.Kind() == midhook.PayAccount {
		s.accounts[n.AccountID] = answer
		return
	}
	dana := n.PaymentType == "dana"
	t := &transaction{id: n.TransactionID, orderID: n.OrderID, answer: answer, plain: !dana, snap: isSnap(n)}
	if old := s.latest[t.name()]; old != nil {
		for _, id := range old.ids() {
			s.transactions[id] = slices.DeleteFunc(s.transactions[id], func(other *transaction) bool { return other == old })
		}
	}
	s.latest[t.name()] = t
	for _, id := range t.ids() {
		s.transactions[id] = append(s.transactions[id], t)
	}
}

// find returns the answer for an id, nil if there is none.
func (s *StatusServer) find(id string, snap bool) []byte {
	for _, t := range slices.Backward(s.transactions[id]) {
		if t.plain && !snap || t.snap && snap {
			return t.answer
		}
	}
	return nil
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
	path := r.URL.EscapedPath()
	s.mu.Lock()
	s.requests++
	trouble := s.trouble
	var answer []byte
	id, isAPI := requestedID(path, "/v2/pay/account/", "")
	if isAPI {
		answer = s.accounts[id]
	} else if id, isAPI = requestedID(path, "/v2/", "/status"); isAPI {
		answer = s.find(id, r.Header.Get("transaction-source") == "SNAP_API")
	}
	s.mu.Unlock()

	key, password, _ := r.BasicAuth()
	switch {
	case !isAPI || r.Method != http.MethodGet:
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
	case trouble == NothingFound || answer == nil:
		problem(w, http.StatusOK, "404")
	default:
		w.Header().Set("Content-Type", "application/json")
		if trouble == TooMuch {
			_, _ = w.Write(bytes.Repeat([]byte(" "), 16<<20))
		}
		_, _ = w.Write(answer)
	}
}

// requestedID is the one segment of a path between prefix and suffix. In an id that
// is not escaped, a slash makes another path, and dots lead elsewhere.
func requestedID(path, prefix, suffix string) (id string, ok bool) {
	segment, ok := strings.CutPrefix(path, prefix)
	if !ok {
		return "", false
	}
	segment, ok = strings.CutSuffix(segment, suffix)
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
	if isSnap(n) {
		answer.OrderID = n.TransactionID
	}
	return &answer
}

// isSnap tells the payments of whose order the API does not say the id.
func isSnap(n *midhook.Notification) bool {
	return n.PaymentType == "dana" || slices.ContainsFunc(n.VANumbers, func(va midhook.VANumber) bool {
		return slices.Contains([]string{"danamon", "bsi", "seabank", "saqu"}, va.Bank)
	})
}
