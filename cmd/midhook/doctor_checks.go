package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/midhook/midhook/midhooktest"
)

// notPublic are the ranges that netip does not already tell apart.
var notPublic = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"),
	netip.MustParsePrefix("100.64.0.0/10"), // carriers' NAT
	netip.MustParsePrefix("192.0.0.0/24"),
	netip.MustParsePrefix("192.0.2.0/24"), // documentation, as the next ones
	netip.MustParsePrefix("198.51.100.0/24"),
	netip.MustParsePrefix("203.0.113.0/24"),
	netip.MustParsePrefix("2001:db8::/32"),
	netip.MustParsePrefix("198.18.0.0/15"), // benchmarks
	netip.MustParsePrefix("240.0.0.0/4"),
}

// isPublic reports whether Midtrans can reach an address.
func isPublic(a netip.Addr) bool {
	a = a.Unmap()
	if !a.IsGlobalUnicast() || a.IsPrivate() {
		return false
	}
	for _, p := range notPublic {
		if p.Contains(a) {
			return false
		}
	}
	return true
}

func (p *patient) checkAddress(ctx context.Context) (resolves bool) {
	host := p.url.Hostname()
	addrs, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		p.say("address", failing, "%s cannot be resolved: %v; check its DNS records", host, err)
		return false
	}
	p.say("address", judgeAddresses(addrs), "%s", addressText(host, addrs))
	return true
}

func judgeAddresses(addrs []netip.Addr) level {
	public := 0
	for _, a := range addrs {
		if isPublic(a) {
			public++
		}
	}
	switch public {
	case len(addrs):
		return fine
	case 0:
		return failing
	}
	return warning
}

func addressText(host string, addrs []netip.Addr) string {
	for _, a := range addrs {
		if !isPublic(a) {
			return fmt.Sprintf("%s resolves to %v, which Midtrans cannot reach: it needs a public address", host, a.Unmap())
		}
	}
	return fmt.Sprintf("%s resolves to public addresses", host)
}

// checkTLS dials as Midtrans does, with TLS 1.2 at most, and looks at the
// certificate whatever the version.
func (p *patient) checkTLS(ctx context.Context) (reachable bool) {
	state, err := p.handshake(ctx, tls.VersionTLS12)
	if err == nil {
		p.say("TLS 1.2", fine, "accepted")
	} else {
		first := err
		if state, err = p.handshake(ctx, 0); err != nil {
			p.say("TLS", failing, "no connection: %v; check that the server is up and speaks TLS on this port", first)
			return false
		}
		p.say("TLS 1.2", failing, "refused, and Midtrans offers no later version: set the server's, or its load balancer's, minimum to TLS 1.2")
	}
	l, text := judgeCertificate(state.PeerCertificates, p.url.Hostname(), nil, time.Now())
	p.say("certificate", l, "%s", text)
	return true
}

func (p *patient) handshake(ctx context.Context, highest uint16) (tls.ConnectionState, error) {
	ctx, cancel := context.WithTimeout(ctx, p.timeout)
	defer cancel()
	port := p.url.Port()
	if port == "" {
		port = "443"
	}
	// The certificate is judged afterwards, apart from the version.
	dialer := tls.Dialer{Config: &tls.Config{MaxVersion: highest, ServerName: p.url.Hostname(), InsecureSkipVerify: true}}
	conn, err := dialer.DialContext(ctx, "tcp", net.JoinHostPort(p.url.Hostname(), port))
	if err != nil {
		return tls.ConnectionState{}, err
	}
	defer conn.Close()
	return conn.(*tls.Conn).ConnectionState(), nil
}

const twoWeeks = 14 * 24 * time.Hour

// judgeCertificate judges a chain by roots, or the system's if they are nil.
func judgeCertificate(chain []*x509.Certificate, host string, roots *x509.CertPool, now time.Time) (level, string) {
	if len(chain) == 0 {
		return failing, "there is none: install one"
	}
	leaf, rest := chain[0], x509.NewCertPool()
	for _, c := range chain[1:] {
		rest.AddCert(c)
	}
	_, err := leaf.Verify(x509.VerifyOptions{DNSName: host, Roots: roots, Intermediates: rest, CurrentTime: now})
	_, otherHost := errors.AsType[x509.HostnameError](err)
	_, unknown := errors.AsType[x509.UnknownAuthorityError](err)
	left := leaf.NotAfter.Sub(now)
	switch {
	case left < 0:
		return failing, fmt.Sprintf("expired on %s: renew it", leaf.NotAfter.Format(time.DateOnly))
	case otherHost:
		return failing, fmt.Sprintf("not for %s: get one whose names include it", host)
	case unknown:
		return failing, "signed by no authority that is known here: use one of a public authority, and send its intermediate certificates along"
	case err != nil:
		return failing, fmt.Sprintf("not valid: %v", err)
	case left < twoWeeks:
		return warning, fmt.Sprintf("expires on %s, in less than two weeks: renew it, and see why that did not happen by itself", leaf.NotAfter.Format(time.DateOnly))
	}
	return fine, fmt.Sprintf("valid for %s until %s", host, leaf.NotAfter.Format(time.DateOnly))
}

// seen is an endpoint's answer.
type seen struct {
	status   int
	location string
	html     bool
	took     time.Duration
}

// ask makes one request and follows nothing.
func (p *patient) ask(ctx context.Context, method, url string, body []byte) (seen, error) {
	limited, cancel := context.WithTimeout(ctx, p.timeout)
	defer cancel()
	client := &http.Client{
		Transport: &http.Transport{
			// Without a proxy, and whatever the certificate and version: those have
			// been judged, and nothing secret is sent.
			TLSClientConfig:   &tls.Config{InsecureSkipVerify: true},
			DisableKeepAlives: true,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	r, err := http.NewRequestWithContext(limited, method, url, bytes.NewReader(body))
	if err != nil {
		return seen{}, err
	}
	r.Header.Set("Accept", "application/json")
	r.Header.Set("User-Agent", "Veritrans")
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	start := time.Now()
	res, err := client.Do(r)
	if err == nil {
		defer res.Body.Close()
		_, err = io.Copy(io.Discard, io.LimitReader(res.Body, 1<<20))
	}
	switch {
	case err != nil && limited.Err() != nil:
		return seen{}, fmt.Errorf("no answer within %v", p.timeout)
	case err != nil:
		return seen{}, fmt.Errorf("no answer: %w", err)
	}
	kind, _, _ := mime.ParseMediaType(res.Header.Get("Content-Type"))
	return seen{res.StatusCode, res.Header.Get("Location"), kind == "text/html", time.Since(start)}, nil
}

// unsignedBody is a notification of an order that nobody has.
func unsignedBody() []byte {
	f := fieldsOf(midhooktest.Sample("gopay", midhooktest.Order("midhook-doctor")).Raw())
	return []byte(f.without("signature_key").text())
}

// checkForgeries posts what else a stranger could: a few of attack's attempts. What
// a server accepts of them, it believes from anyone.
func (p *patient) checkForgeries(ctx context.Context) {
	var believed []string
	sent := 0
	for _, a := range attacks("") {
		if !isForgery(a) {
			continue
		}
		got, err := p.ask(ctx, http.MethodPost, p.url.String(), []byte(a.body))
		sent++
		if err == nil && got.status/100 == 2 {
			believed = append(believed, a.name)
		}
	}
	if len(believed) > 0 {
		p.say("forged bodies", failing, "accepted: %s; anyone can send these: verify every kind of notification, and try midhook attack", strings.Join(believed, "; "))
		return
	}
	p.say("forged bodies", fine, "none of %d accepted: refunds, expiries, linked accounts and test orders that nobody with the key signed", sent)
}

// isForgery reports whether doctor makes an attempt, too.
func isForgery(a attempt) bool {
	if a.group == "test order" {
		return strings.HasPrefix(a.name, "gopay")
	}
	for _, sample := range []string{"gopay", "refund", "cancel", "expire", "credit-card-deny", "chargeback", "pending", "pay-account-enabled", "pay-account-disabled"} {
		if a.group == "stranger" && strings.HasPrefix(a.name, sample+", ") {
			return true
		}
	}
	return false
}

// noteSources tells what no request from here can find out.
func (p *patient) noteSources() {
	p.say("source address", info, "not checked: Midtrans publishes about 30 addresses for each environment and advises not to rely on them; "+
		"a firewall in front must let in Midtrans, not only this machine, and the signature is what tells who sent a notification")
}

// checkRefusal posts an unsigned notification.
func (p *patient) checkRefusal(ctx context.Context) (answered bool) {
	a, err := p.ask(ctx, http.MethodPost, p.url.String(), unsignedBody())
	if err != nil {
		p.say("answer", failing, "%v: Midtrans would count that as failed, and try five times more; check that the server is up and its handler answers", err)
		return false
	}
	l, text := judgeTime(a.took)
	p.say("answer time", l, "%s", text)
	l, text = judgeRefusal(a)
	p.say("unsigned body", l, "%s", text)
	if a.status/100 == 3 {
		p.say("redirect", failing, "POST is answered %d, to %q: %s", a.status, a.location, adviseRedirect(a.status))
	} else {
		p.say("redirect", fine, "none from this URL")
	}
	return true
}

func adviseRedirect(status int) string {
	if status == http.StatusTemporaryRedirect || status == http.StatusPermanentRedirect {
		return "Midtrans follows it, at most five times; give the dashboard the URL it leads to"
	}
	return "Midtrans does not follow it and loses the notification; give the dashboard the URL that answers by itself, and exempt it from every redirect"
}

func judgeTime(took time.Duration) (level, string) {
	text := fmt.Sprintf("%.0f ms", float64(took.Microseconds())/1000)
	switch {
	case took > 15*time.Second:
		return failing, text + ": Midtrans hangs up after 15 s"
	case took > 5*time.Second:
		return warning, text + ": Midtrans asks for an answer within 5 s, and this one had nothing to do"
	}
	return fine, text
}

// judgeRefusal judges the answer to an unsigned notification.
func judgeRefusal(a seen) (level, string) {
	refused := fmt.Sprintf("refused with %d", a.status)
	switch {
	case a.status/100 == 2:
		return failing, fmt.Sprintf("accepted with %d: anyone can say that an order is paid; verify signature_key before anything else", a.status)
	case a.status/100 == 3:
		return failing, fmt.Sprintf("redirected with %d instead of refused", a.status)
	case a.status == 401, a.status == 407:
		return failing, refused + ": an authentication in front of it asks Midtrans for what Midtrans cannot send; exempt this route"
	case a.status == 404:
		return failing, refused + ": there is nothing at this path, or the order is looked up before the signature is verified"
	case a.status == 405:
		return failing, refused + ": this path takes no POST; check the route"
	case a.status/100 == 5:
		return failing, fmt.Sprintf("failed with %d instead of refusing: look into the server's log", a.status)
	case a.status == 403 && a.html:
		return warning, refused + ", as a page of HTML: if that is a firewall's, it may keep Midtrans out, too; exempt this route"
	case a.status == 400, a.status == 403:
		return fine, refused
	}
	return warning, refused + ", where 403 or 400 is expected: check that it is the endpoint's own answer"
}

// checkSlash posts to the other spelling of the URL: with a slash at its end, or
// without.
func (p *patient) checkSlash(ctx context.Context) {
	other := *p.url
	other.RawPath = ""
	if other.Path = strings.TrimSuffix(p.url.Path, "/"); other.Path == p.url.Path {
		other.Path += "/"
	}
	if other.Path == "" {
		return // the root has one spelling
	}
	a, err := p.ask(ctx, http.MethodPost, other.String(), unsignedBody())
	switch {
	case err != nil:
		p.say("trailing slash", warning, "%s: %v", other.Path, err)
	case a.status/100 == 3:
		p.say("trailing slash", warning, "%s is answered %d, to %q: take care that the dashboard has exactly the URL above, or serve both", other.Path, a.status, a.location)
	case a.status/100 == 2:
		p.say("trailing slash", warning, "%s answers %d to an unsigned notification: one that goes there by mistake is lost", other.Path, a.status)
	default:
		p.say("trailing slash", fine, "%s does not redirect: %d", other.Path, a.status)
	}
}

func (p *patient) checkGET(ctx context.Context) {
	a, err := p.ask(ctx, http.MethodGet, p.url.String(), nil)
	switch {
	case err != nil:
		p.say("GET", warning, "%v", err)
	case a.status/100 == 3:
		l, text := judgeLogin(a.location)
		p.say("GET", l, "answered %d, to %q: %s", a.status, a.location, text)
	case a.status == 401:
		p.say("GET", warning, "answered 401: is there an authentication in front of the route?")
	case a.status == 405:
		p.say("GET", fine, "405, as a browser sees it: the endpoint is there and takes POST only, which is what Midtrans sends")
	default:
		p.say("GET", fine, "not redirected: %d", a.status)
	}
}

func judgeLogin(location string) (level, string) {
	for _, word := range []string{"login", "log-in", "signin", "sign-in", "sign_in", "auth", "session", "sso"} {
		if strings.Contains(strings.ToLower(location), word) {
			return failing, "a login stands in front of the route; exempt it"
		}
	}
	return warning, "something in front of the route redirects; exempt it"
}
