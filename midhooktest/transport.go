package midhooktest

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"sync"
	"time"
)

// answer is the response to one request; with err, it did not arrive whole.
type answer struct {
	status int
	header http.Header
	body   []byte
	err    error
}

// sender makes one request, and does not follow redirects.
type sender func(ctx context.Context, u *url.URL, header http.Header, body []byte) answer

// route says where to deliver to, and how.
func (e *Engine) route(to string) (*url.URL, sender, error) {
	if e.Speed < 0 || math.IsNaN(e.Speed) {
		return nil, nil, fmt.Errorf("speed %v: it must be positive", e.Speed)
	}
	if to == "" {
		to = e.URL
	}
	if e.Handler != nil {
		if to == "" {
			to = "https://merchant.example/"
		}
	} else if to == "" {
		return nil, nil, errors.New("the engine needs a Handler or a URL")
	}
	u, err := url.Parse(to)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, nil, errors.New("the URL must be an absolute http or https one")
	}
	if e.Handler != nil {
		return u, e.call, nil
	}
	client := http.Client{Transport: legacyTLS()}
	if e.Client != nil {
		client = *e.Client
	}
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return u, func(ctx context.Context, u *url.URL, header http.Header, body []byte) answer {
		return post(ctx, &client, u, header, body)
	}, nil
}

// legacyTLS is the transport of an engine that knows no TLS beyond 1.2, and
// speaks HTTP/1.1. It keeps no connections: the next attempt is minutes away.
var legacyTLS = sync.OnceValue(func() *http.Transport {
	t := &http.Transport{
		Proxy:             http.ProxyFromEnvironment,
		DisableKeepAlives: true,
		TLSClientConfig:   &tls.Config{MinVersion: tls.VersionTLS12, MaxVersion: tls.VersionTLS12},
		Protocols:         new(http.Protocols),
	}
	t.Protocols.SetHTTP1(true)
	return t
})

// post makes one request over the network.
func post(ctx context.Context, client *http.Client, u *url.URL, header http.Header, body []byte) (ans answer) {
	defer func() {
		if ans.err != nil && ctx.Err() != nil {
			ans.err = context.Cause(ctx)
		}
	}()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, u.String(), bytes.NewReader(body))
	if err != nil {
		return answer{err: err}
	}
	r.Header = header.Clone()
	res, err := client.Do(r)
	if err != nil {
		return answer{err: err}
	}
	defer res.Body.Close()
	ans = answer{status: res.StatusCode, header: res.Header}
	ans.body, ans.err = io.ReadAll(io.LimitReader(res.Body, answerSize))
	if ans.err == nil {
		_, ans.err = io.Copy(io.Discard, res.Body) // an answer is complete at its end
	}
	return ans
}

// sleep waits for d of Midtrans' time.
func sleep(ctx context.Context, d time.Duration, speed float64) error {
	timer := time.NewTimer(time.Duration(float64(d) / speed))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
