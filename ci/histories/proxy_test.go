package histories

import (
	"fmt"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// networkFault is what becomes of one message of a client to its server.
type networkFault struct {
	After int // messages that pass before it, from the fault before
	What  string
	For   time.Duration // of a stall
}

// networkFaults are the kinds. After each but the stalls the connection is gone.
var networkFaults = []string{"request lost", "half a request", "answer lost", "half an answer", "request stalls", "answer stalls"}

// proxy is a network between a process and the store's server.
type proxy struct {
	listener net.Listener
	all      sync.WaitGroup

	mu     sync.Mutex
	target string
	cut    bool // nobody gets through
	plan   []networkFault
	links  map[*link]bool
	struck map[string]int // how often each kind of fault has happened
}

// link is one connection through the proxy.
type link struct {
	client, server net.Conn
	gone           chan struct{}
	end            func()

	mu     sync.Mutex
	answer networkFault // what becomes of the next one
}

func startProxy(t *testing.T, target string) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	p := &proxy{listener: l, target: target, links: map[*link]bool{}, struck: map[string]int{}}
	p.all.Go(p.serve)
	t.Cleanup(func() {
		l.Close()
		p.cutAll(true)
		p.all.Wait()
	})
	return p
}

func (p *proxy) addr() string { return p.listener.Addr().String() }

func (p *proxy) serve() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.all.Go(func() { p.connect(client) })
	}
}

func (p *proxy) connect(client net.Conn) {
	p.mu.Lock()
	target, cut := p.target, p.cut
	p.mu.Unlock()
	if cut {
		client.Close()
		return
	}
	server, err := net.DialTimeout("tcp", target, 5*time.Second)
	if err != nil {
		client.Close()
		return
	}
	l := &link{client: client, server: server, gone: make(chan struct{})}
	l.end = sync.OnceFunc(func() {
		close(l.gone)
		client.Close() // first: no answer may pass
		server.Close()
	})
	p.mu.Lock()
	p.links[l] = true
	if p.cut || p.target != target {
		l.end()
	}
	p.mu.Unlock()
	p.all.Go(func() {
		defer l.end()
		l.answers()
	})
	p.requests(l)
	l.end()
	p.mu.Lock()
	delete(p.links, l)
	p.mu.Unlock()
}

// next is what becomes of a message.
func (p *proxy) next() (f networkFault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.plan) == 0 {
		return f
	}
	if p.plan[0].After > 0 {
		p.plan[0].After--
		return f
	}
	f, p.plan = p.plan[0], p.plan[1:]
	p.struck[f.What]++
	return f
}

func (p *proxy) requests(l *link) {
	buffer := make([]byte, 64<<10)
	for {
		n, err := l.client.Read(buffer)
		if err != nil {
			return
		}
		request := buffer[:n]
		f := p.next()
		switch f.What {
		case "request lost":
			return
		case "half a request":
			_, _ = l.server.Write(request[:n/2])
			return
		case "request stalls":
			l.wait(f.For)
		case "answer lost", "half an answer", "answer stalls":
			l.mu.Lock()
			l.answer = f
			l.mu.Unlock()
		}
		if _, err := l.server.Write(request); err != nil {
			return
		}
	}
}

func (l *link) answers() {
	buffer := make([]byte, 64<<10)
	for {
		n, err := l.server.Read(buffer)
		if err != nil {
			return
		}
		answer := buffer[:n]
		l.mu.Lock()
		f := l.answer
		l.answer = networkFault{}
		l.mu.Unlock()
		switch f.What {
		case "answer lost":
			return
		case "half an answer":
			_, _ = l.client.Write(answer[:n/2])
			return
		case "answer stalls":
			l.wait(f.For)
		}
		if _, err := l.client.Write(answer); err != nil {
			return
		}
	}
}

func (l *link) wait(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-l.gone:
	}
}

// suffer has these faults happen from now on.
func (p *proxy) suffer(faults []networkFault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.plan = append([]networkFault(nil), faults...)
}

// cutAll ends all connections; if it is to last, until heal.
func (p *proxy) cutAll(lasts bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cut = lasts
	for l := range p.links {
		l.end()
	}
}

// aim has another server behind the proxy.
func (p *proxy) aim(target string) {
	p.mu.Lock()
	p.target = target
	cut := p.cut
	p.mu.Unlock()
	p.cutAll(cut)
}

// heal ends all trouble.
func (p *proxy) heal() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.plan, p.cut = nil, false
}

func (p *proxy) String() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return fmt.Sprint(p.struck)
}
