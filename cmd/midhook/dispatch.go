package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
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
	Redirects []string `json:"redirects"` // followed, as Midtrans would
	Answer    struct {
		Status       int     `json:"status"` // 0: none
		Location     string  `json:"location,omitempty"`
		Body         string  `json:"body"`
		Milliseconds float64 `json:"milliseconds"`
		Error        string  `json:"error,omitempty"`
	} `json:"answer"`
	Next struct {
		Retries int    `json:"retries"`
		Text    string `json:"text"`
	} `json:"next"`

	err error
}

const (
	maxRedirects = 5
	maxShown     = 4 << 10 // of an answer's body
)

// post sends body as Midtrans would.
func post(ctx context.Context, url string, body []byte, timeout time.Duration, insecure bool) *dispatch {
	d := &dispatch{Redirects: []string{}}
	d.Request.Method, d.Request.URL, d.Request.Body = http.MethodPost, url, string(body)
	d.Request.Header = map[string]string{
		"Accept":       "application/json",
		"Content-Type": "application/json",
		"User-Agent":   "Veritrans",
	}
	client := midtransClient(insecure)
	defer client.CloseIdleConnections()
	client.CheckRedirect = func(r *http.Request, via []*http.Request) error {
		again := r.Response.StatusCode == http.StatusTemporaryRedirect || r.Response.StatusCode == http.StatusPermanentRedirect
		if !again || len(via) > maxRedirects {
			return http.ErrUseLastResponse
		}
		d.Redirects = append(d.Redirects, r.URL.String())
		return nil
	}
	limited, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	start := time.Now()
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
		answer, err := io.ReadAll(io.LimitReader(res.Body, maxShown))
		if err != nil {
			return err
		}
		d.Answer.Status, d.Answer.Location, d.Answer.Body = res.StatusCode, res.Header.Get("Location"), string(answer)
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
	d.Next.Retries, d.Next.Text = whatNext(d.Answer.Status)
	if took > 5*time.Second && d.Answer.Status/100 == 2 {
		d.Next.Text += "; but it asks for an answer within 5 s"
	}
	return d
}

// midtransClient is an HTTP/1.1 client that offers TLS up to 1.2, as Midtrans does.
func midtransClient(insecure bool) *http.Client {
	return &http.Client{Transport: &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            (&net.Dialer{}).DialContext,
		TLSClientConfig:        &tls.Config{MaxVersion: tls.VersionTLS12, InsecureSkipVerify: insecure},
		MaxResponseHeaderBytes: 64 << 10,
	}}
}

func (d *dispatch) redact(key string) {
	for _, text := range []*string{&d.Request.URL, &d.Request.Body, &d.Answer.Location, &d.Answer.Body, &d.Answer.Error} {
		*text = redact(*text, key)
	}
	for i := range d.Redirects {
		d.Redirects[i] = redact(d.Redirects[i], key)
	}
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
	if d.Answer.Status/100 == 2 {
		colour = green
	}
	fmt.Fprintf(s, "%s %s\n", s.paint(bold, "answer:"), s.paint(colour, answer))
	block(d.Answer.Body)
	fmt.Fprintf(s, "%s %s\n", s.paint(bold, "next:"), d.Next.Text)
}
