package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"
)

// dispatch is one notification, what was answered, and what comes of that.
type dispatch struct {
	Request struct {
		Method string            `json:"method"`
		URL    string            `json:"url"`
		Header map[string]string `json:"header"`
		Body   string            `json:"body"`
	} `json:"request"`
	Redirects []string `json:"redirects"` // followed
	Answer    struct {
		Status       int     `json:"status"` // 0: none
		Location     string  `json:"location,omitempty"`
		Body         string  `json:"body"`
		Milliseconds float64 `json:"milliseconds"`
		Error        string  `json:"error,omitempty"`
	} `json:"answer"`
	Next outlook `json:"next"`

	proof []string // the names of the header that proves the body, sorted
	err   error
}

const maxShown = 4 << 10 // of an answer's body

// post sends body as the gateway would, and with proof, which may be nil, as the
// header that it is signed by.
func (g gateway) post(ctx context.Context, url string, proof http.Header, body []byte, timeout time.Duration, insecure bool) *dispatch {
	d := &dispatch{Redirects: []string{}, proof: slices.Sorted(maps.Keys(proof))}
	d.Request.Method, d.Request.URL, d.Request.Body = http.MethodPost, url, string(body)
	d.Request.Header = map[string]string{}
	header := g.Header()
	maps.Copy(header, proof)
	for name := range header {
		d.Request.Header[name] = header.Get(name)
	}
	client := g.client(insecure)
	defer client.CloseIdleConnections()
	client.CheckRedirect = func(r *http.Request, via []*http.Request) error {
		if !g.Policy.Follows(r.Response.StatusCode, len(via)-1) {
			return http.ErrUseLastResponse
		}
		d.Redirects = append(d.Redirects, r.URL.String())
		return nil
	}
	limited, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	start := time.Now()
	var answer []byte
	d.err = func() error {
		r, err := http.NewRequestWithContext(limited, http.MethodPost, url, bytes.NewReader(body))
		if err != nil {
			return err
		}
		for name, value := range d.Request.Header {
			r.Header.Set(name, value)
		}
		res, err := client.Do(r)
		if err != nil {
			return err
		}
		defer res.Body.Close()
		if answer, err = io.ReadAll(io.LimitReader(res.Body, maxInput)); err != nil {
			return err
		}
		d.Answer.Status, d.Answer.Location = res.StatusCode, res.Header.Get("Location")
		d.Answer.Body = string(answer)
		return nil
	}()
	took := time.Since(start)
	d.Answer.Milliseconds = float64(took.Microseconds()) / 1000
	switch {
	case limited.Err() != nil && d.err != nil:
		d.Answer.Error = fmt.Sprintf("no answer within %v", timeout)
	case d.err != nil:
		d.Answer.Error = d.err.Error()
	}
	d.Next = g.whatNext(d.Answer.Status, answer)
	if g.prompt > 0 && took > g.prompt && d.Next.Delivered {
		d.Next.Text += fmt.Sprintf("; but it asks for an answer within %.0f s", g.prompt.Seconds())
	}
	return d
}

// client speaks HTTP/1.1, and TLS as the gateway does. It keeps no connections: the
// next attempt is minutes away.
func (g gateway) client(insecure bool) *http.Client {
	return &http.Client{Transport: &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            (&net.Dialer{}).DialContext,
		TLSClientConfig:        &tls.Config{MaxVersion: g.newestTLS, InsecureSkipVerify: insecure},
		MaxResponseHeaderBytes: 64 << 10,
		DisableKeepAlives:      true,
	}}
}

// redact takes out what must not be shown, and then what is too long to be.
func (d *dispatch) redact(key string) {
	for _, text := range []*string{&d.Request.URL, &d.Request.Body, &d.Answer.Location, &d.Answer.Body, &d.Answer.Error} {
		*text = redact(*text, key)
	}
	for i := range d.Redirects {
		d.Redirects[i] = redact(d.Redirects[i], key)
	}
	for name, value := range d.Request.Header {
		d.Request.Header[name] = redact(value, key)
	}
	d.Answer.Body = d.Answer.Body[:min(len(d.Answer.Body), maxShown)]
	var compact bytes.Buffer
	if json.Compact(&compact, []byte(d.Request.Body)) == nil {
		d.Request.Body = compact.String()
	}
}

func (d *dispatch) print(s screen) {
	block := func(text string) {
		if text = strings.TrimSpace(text); text != "" {
			fmt.Fprintln(s, printable(text))
		}
		s.remark("\n")
	}
	fmt.Fprintf(s, "%s POST %s\n", s.paint(bold, "request:"), printable(d.Request.URL))
	for _, name := range d.proof {
		fmt.Fprintf(s, "%s: %s\n", name, printable(d.Request.Header[name]))
	}
	block(d.Request.Body)
	for _, to := range d.Redirects {
		fmt.Fprintf(s, "%s POST %s\n", s.paint(bold, "redirected:"), printable(to))
	}
	colour, answer := red, printable(d.Answer.Error)
	if d.Answer.Status != 0 {
		answer = fmt.Sprintf("%d %s in %.0f ms", d.Answer.Status, http.StatusText(d.Answer.Status), d.Answer.Milliseconds)
	}
	if d.Answer.Location != "" {
		answer += fmt.Sprintf(", to %q", d.Answer.Location)
	}
	if d.Next.Delivered {
		colour = green
	}
	fmt.Fprintf(s, "%s %s\n", s.paint(bold, "answer:"), s.paint(colour, answer))
	block(d.Answer.Body)
	fmt.Fprintf(s, "%s %s\n", s.paint(bold, "next:"), d.Next.Text)
	if hint := d.hint(); hint != "" {
		fmt.Fprintf(s, "%s %s\n", s.paint(bold, "hint:"), hint)
	}
}

// hint says what an answer often means that the server itself does not explain.
func (d *dispatch) hint() string {
	switch d.Answer.Status {
	case http.StatusNotFound:
		return "nothing may be registered at this path: compare it with the route of your server, to the slash at the end. A shop that does not know the order may answer 404, too"
	case http.StatusMethodNotAllowed:
		return "the path takes no POST: register it for POST, or for every method"
	}
	return ""
}
