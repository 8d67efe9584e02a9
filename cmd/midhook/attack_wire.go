package main

import (
	"bufio"
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"time"
)

// framing is how a body is put on the wire. net/http's client refuses most of
// them.
type framing int

const (
	whole     framing = iota // Content-Length, then all of it
	chunked                  // in chunks
	short                    // more Content-Length than body, then the end
	endless                  // chunks without the last one, then the end
	dribbling                // one byte after another, with pauses
	silent                   // Content-Length, and then nothing
)

// wire speaks HTTP/1.1 to an endpoint, one connection for each request.
type wire struct {
	target   *url.URL
	addr     netip.AddrPort
	patience time.Duration
	insecure bool
}

// newWire finds the first of the addresses that answers.
func newWire(ctx context.Context, target *url.URL, addrs []netip.Addr, patience time.Duration, insecure bool) (*wire, error) {
	port, err := net.DefaultResolver.LookupPort(ctx, "tcp", cmp.Or(target.Port(), target.Scheme))
	if err != nil {
		return nil, err
	}
	var errs []error
	for _, a := range addrs {
		w := &wire{target, netip.AddrPortFrom(a.Unmap(), uint16(port)), patience, insecure}
		conn, err := w.dial(ctx)
		if err == nil {
			return w, conn.Close()
		}
		errs = append(errs, err)
	}
	return nil, errors.Join(errs...)
}

// halfCloser is what TCP and TLS connections have in common.
type halfCloser interface {
	net.Conn
	CloseWrite() error
}

func (w *wire) dial(ctx context.Context) (halfCloser, error) {
	ctx, cancel := context.WithTimeout(ctx, w.patience)
	defer cancel()
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp", w.addr.String())
	if err != nil {
		return nil, err
	}
	if w.target.Scheme == "http" {
		return conn.(*net.TCPConn), nil
	}
	secure := tls.Client(conn, &tls.Config{ServerName: w.target.Hostname(), InsecureSkipVerify: w.insecure})
	if err := secure.HandshakeContext(ctx); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return secure, nil
}

// reply is what came back.
type reply struct {
	status   int // 0: none
	location string
	text     string // header values and the beginning of the body
	timeout  bool
	took     time.Duration
}

// exchange makes an attempt and waits for the answer, which may come before all
// of the body is sent.
func (w *wire) exchange(ctx context.Context, a attempt) (got reply) {
	start := time.Now()
	defer func() { got.took = time.Since(start) }()
	conn, err := w.dial(ctx)
	if err != nil {
		got.timeout = errors.Is(err, context.DeadlineExceeded)
		return got
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	_ = conn.SetDeadline(start.Add(w.patience))
	sent := make(chan struct{})
	over := make(chan struct{})
	go func() {
		defer close(sent)
		w.write(conn, a, over) // what the server thinks of it, the answer says
	}()
	defer func() {
		close(over)
		_ = conn.Close()
		<-sent
	}()

	method := cmp.Or(a.method, http.MethodPost)
	in := bufio.NewReader(io.LimitReader(conn, 1<<20))
	res, err := http.ReadResponse(in, &http.Request{Method: method})
	for err == nil && res.StatusCode/100 == 1 && res.StatusCode != http.StatusSwitchingProtocols {
		res, err = http.ReadResponse(in, &http.Request{Method: method})
	}
	if err != nil {
		got.timeout = errors.Is(err, os.ErrDeadlineExceeded)
		return got
	}
	defer res.Body.Close()
	got.status, got.location = res.StatusCode, res.Header.Get("Location")
	var text strings.Builder
	_ = res.Header.Write(&text)
	_, _ = io.Copy(&text, io.LimitReader(res.Body, 64<<10))
	got.text = text.String()
	return got
}

// write sends a request, until it is sent or over.
func (w *wire) write(conn halfCloser, a attempt, over <-chan struct{}) {
	out := bufio.NewWriter(conn)
	header := http.Header{"Accept": {"application/json"}, "Content-Type": {"application/json"}, "User-Agent": {"Veritrans"}, "Connection": {"close"}}
	maps.Copy(header, a.header)
	target := *w.target
	target.RawQuery = strings.Trim(target.RawQuery+"&"+a.query, "&")
	fmt.Fprintf(out, "%s %s HTTP/1.1\r\nHost: %s\r\n", cmp.Or(a.method, http.MethodPost), target.RequestURI(), target.Host)
	_ = header.Write(out)
	if a.framing == chunked || a.framing == endless {
		fmt.Fprint(out, "Transfer-Encoding: chunked\r\n\r\n")
		for rest := a.body; rest != ""; {
			n := min(len(rest), 32<<10)
			fmt.Fprintf(out, "%x\r\n%s\r\n", n, rest[:n])
			rest = rest[n:]
		}
		if a.framing == chunked {
			fmt.Fprint(out, "0\r\n\r\n")
		}
	} else {
		length := len(a.body)
		if a.framing == short {
			length += 100
		}
		fmt.Fprintf(out, "Content-Length: %d\r\n\r\n", length)
		if a.framing != dribbling && a.framing != silent {
			_, _ = out.WriteString(a.body)
		}
	}
	if out.Flush() != nil {
		return
	}
	switch a.framing {
	case short, endless:
		_ = conn.CloseWrite()
	case dribbling:
		tick := time.NewTicker(w.patience / 20)
		defer tick.Stop()
		for i := range len(a.body) {
			select {
			case <-tick.C:
			case <-over:
				return
			}
			if _, err := io.WriteString(conn, a.body[i:i+1]); err != nil {
				return
			}
		}
	}
}
