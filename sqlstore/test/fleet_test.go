package sqlstore_test

import (
	"bufio"
	"bytes"
	"database/sql"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/midhook/midhook"
	"github.com/midhook/midhook/midhooktest"
)

// fleet is some merchant processes behind one store and one load balancer.
type fleet struct {
	t         *testing.T
	config    merchantConfig
	db        *sql.DB
	processes []*process
	next      atomic.Uint64
	client    *http.Client
	deaths    atomic.Int64 // of processes that were not told to end
}

// process is a merchant that is started again when it dies.
type process struct {
	fleet   *fleet
	ended   chan struct{}
	closing atomic.Bool

	mu      sync.Mutex
	address string // "" while it does not listen
	cmd     *exec.Cmd
	said    []string
	heard   chan struct{} // closed when it says something
}

func startFleet(t *testing.T, d *database, size int) *fleet {
	t.Helper()
	notShort(t)
	f := &fleet{t: t, db: d.open(t), config: merchantConfig{Driver: d.driver, DSN: d.dsn, Table: "T" + table(t), Dir: t.TempDir(), Dialect: d.dialect}}
	_, err := f.db.ExecContext(t.Context(), f.config.sql("CREATE TABLE @orders (order_id VARCHAR(64), status VARCHAR(32))"))
	require.NoError(t, err)
	transport := http.DefaultTransport.(*http.Transport).Clone()
	f.client = &http.Client{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
		p := f.processes[f.next.Add(1)%uint64(len(f.processes))]
		p.mu.Lock()
		address := p.address
		p.mu.Unlock()
		if address == "" {
			return nil, errors.New("connection refused")
		}
		r.URL.Host = address
		return transport.RoundTrip(r)
	})}
	t.Cleanup(func() {
		for _, p := range f.processes {
			p.end()
		}
		transport.CloseIdleConnections()
	})
	for range size {
		p := &process{fleet: f, ended: make(chan struct{}), heard: make(chan struct{})}
		f.processes = append(f.processes, p)
		require.NoError(t, p.start())
		go p.supervise()
	}
	for _, p := range f.processes {
		p.waitFor("listening")
	}
	return f
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func (p *process) start() error {
	config, err := json.Marshal(p.fleet.config)
	if err != nil {
		return err
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), merchantEnv+"="+string(config))
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	p.mu.Lock()
	p.cmd = cmd
	p.mu.Unlock()
	go p.listen(out)
	return nil
}

func (p *process) listen(out io.Reader) {
	for lines := bufio.NewScanner(out); lines.Scan(); {
		p.mu.Lock()
		if address, ok := strings.CutPrefix(lines.Text(), "listening "); ok {
			p.address = address
		}
		p.said = append(p.said, lines.Text())
		close(p.heard)
		p.heard = make(chan struct{})
		p.mu.Unlock()
	}
}

func (p *process) supervise() {
	defer close(p.ended)
	for {
		_ = p.cmd.Wait() // it was killed
		p.mu.Lock()
		p.address = ""
		p.mu.Unlock()
		if p.closing.Load() {
			return
		}
		p.fleet.deaths.Add(1)
		if err := p.start(); err != nil {
			p.fleet.t.Error(err)
			return
		}
	}
}

func (p *process) signal(s syscall.Signal) {
	p.mu.Lock()
	defer p.mu.Unlock()
	_ = p.cmd.Process.Signal(s)
}

func (p *process) end() {
	p.closing.Store(true)
	p.signal(syscall.SIGKILL)
	<-p.ended
}

// waitFor returns once the process has said a line that begins with prefix and
// contains the texts.
func (p *process) waitFor(prefix string, texts ...string) {
	p.fleet.t.Helper()
	timeout := time.After(2 * time.Minute)
	for {
		p.mu.Lock()
		heard := p.heard
		for _, line := range p.said {
			if strings.HasPrefix(line, prefix) && !slices.ContainsFunc(texts, func(text string) bool { return !strings.Contains(line, text) }) {
				p.mu.Unlock()
				return
			}
		}
		p.mu.Unlock()
		select {
		case <-heard:
		case <-timeout:
			p.fleet.t.Fatalf("the merchant did not say %q %q", prefix, texts)
		}
	}
}

// post delivers to this process alone.
func (p *process) post(path string, n *midhook.Notification) (status int, answer string) {
	p.fleet.t.Helper()
	p.mu.Lock()
	url := "http://" + p.address + path
	p.mu.Unlock()
	var body []byte
	if n != nil {
		body = midhooktest.Body(n, testKey)
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: time.Minute}
	res, err := client.Post(url, "application/json", bytes.NewReader(body))
	if !assert.NoError(p.fleet.t, err) {
		return 0, ""
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	assert.NoError(p.fleet.t, err)
	return res.StatusCode, strings.TrimSpace(string(text))
}

// effects counts the committed rows of an order.
func (f *fleet) effects(order string, status midhook.TransactionStatus) (n int) {
	f.t.Helper()
	require.NoError(f.t, f.db.QueryRow(f.config.sql("SELECT count(*) FROM @orders WHERE order_id = ? AND status = ?"), order, status).Scan(&n))
	return n
}
