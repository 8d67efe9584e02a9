package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// diagnosis is doctor's report, by check.
func diagnosis(t *testing.T, i invocation, args ...string) (code int, by map[string]checked) {
	t.Helper()
	code, stdout, stderr := i.run(t, append([]string{"doctor", "--json"}, args...)...)
	assert.Empty(t, stderr)
	var out struct {
		OK     bool
		Checks []checked
	}
	require.NoError(t, json.Unmarshal([]byte(stdout), &out), stdout)
	assert.Equal(t, code == exitOK, out.OK)
	by = map[string]checked{}
	for _, c := range out.Checks {
		assert.NotContains(t, by, c.Check, "checked twice")
		by[c.Check] = c
	}
	return code, by
}

// serveTLS serves with a certificate for 127.0.0.1 that is trusted by whoever
// has the returned environment.
func serveTLS(t *testing.T, h http.Handler, config *tls.Config) (url string, trusting invocation) {
	t.Helper()
	s := httptest.NewUnstartedServer(h)
	s.TLS, s.Config.ErrorLog = config, discarded
	s.StartTLS()
	t.Cleanup(s.Close)
	file := filepath.Join(t.TempDir(), "roots.pem")
	require.NoError(t, os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}), 0o600))
	return s.URL, invocation{env: []string{"SSL_CERT_FILE=" + file, "SSL_CERT_DIR=" + t.TempDir()}}
}

func TestDoctorOnGoodEndpoint(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("SSL_CERT_FILE is not for this system")
	}
	mux := http.NewServeMux()
	mux.Handle("POST /midtrans", hooked(t))
	url, trusting := serveTLS(t, mux, nil)
	code, by := diagnosis(t, trusting, "--local", url+"/midtrans")
	assert.Equal(t, exitOK, code)
	for _, check := range []string{"scheme", "TLS 1.2", "certificate", "answer time", "unsigned body", "redirect", "forged bodies", "trailing slash", "GET"} {
		assert.Equal(t, fine, by[check].Level, "%s: %+v", check, by[check])
	}
	assert.Len(t, by, 9)
}

func TestDoctorOnUndeployedEndpoint(t *testing.T) {
	code, by := diagnosis(t, invocation{}, serveHTTP(t, hooked(t)))
	assert.Equal(t, exitWrong, code)
	assert.Equal(t, warning, by["scheme"].Level)
	assert.Equal(t, failing, by["port"].Level)
	assert.Equal(t, failing, by["address"].Level)
	assert.Equal(t, fine, by["unsigned body"].Level)
	assert.NotContains(t, by, "trailing slash", "the root has one spelling")
	assert.Equal(t, info, by["source address"].Level)
}

func TestDoctorOnTLS(t *testing.T) {
	t.Run("self-signed", func(t *testing.T) {
		url, _ := serveTLS(t, hooked(t), nil)
		code, by := diagnosis(t, invocation{}, "--local", url)
		assert.Equal(t, exitWrong, code)
		assert.Equal(t, fine, by["TLS 1.2"].Level)
		assert.Equal(t, failing, by["certificate"].Level)
		assert.Contains(t, by["certificate"].Text, "no authority")
		assert.Equal(t, fine, by["unsigned body"].Level, "the other checks are made all the same")
	})
	t.Run("1.3 only", func(t *testing.T) {
		url, trusting := serveTLS(t, hooked(t), &tls.Config{MinVersion: tls.VersionTLS13})
		code, by := diagnosis(t, trusting, "--local", url)
		assert.Equal(t, exitWrong, code)
		assert.Equal(t, failing, by["TLS 1.2"].Level)
		assert.Equal(t, fine, by["unsigned body"].Level)
	})
	t.Run("none", func(t *testing.T) {
		url := strings.Replace(serveHTTP(t, hooked(t)), "http:", "https:", 1)
		code, by := diagnosis(t, invocation{}, "--local", url)
		assert.Equal(t, exitWrong, code)
		assert.Equal(t, failing, by["TLS"].Level)
	})
}

func TestDoctorOnBadEndpoints(t *testing.T) {
	guarded := http.NewServeMux() // an endpoint that people are sent away from
	guarded.Handle("POST /midtrans", hooked(t))
	guarded.Handle("GET /midtrans", redirecting(302, "/Login?next=%2Fmidtrans"))
	elsewhere := http.NewServeMux()
	elsewhere.Handle("POST /midtrans", hooked(t))
	elsewhere.Handle("GET /midtrans", redirecting(302, "/home"))
	slashed := http.NewServeMux() // net/http sends /midtrans to /midtrans/
	slashed.Handle("/midtrans/", hooked(t))
	catchAll := http.NewServeMux()
	catchAll.Handle("/midtrans", hooked(t))
	catchAll.Handle("/", answering(200))
	gone := httptest.NewServer(nil)
	gone.Close()
	for _, c := range []struct {
		name  string
		url   string
		code  int
		check string
		level level
		text  string
	}{
		{"naive", serveHTTP(t, answering(200)), 1, "unsigned body", failing, "anyone can say"},
		{"believing accounts", serveHTTP(t, believing("account_status")), 1, "forged bodies", failing, "pay-account-disabled, unsigned"},
		{"believing accounts: payment", serveHTTP(t, believing("account_status")), 1, "unsigned body", fine, "403"},
		{"auth in front", serveHTTP(t, answering(401)), 1, "unsigned body", failing, "authentication"},
		{"no route", serveHTTP(t, http.NotFoundHandler()), 1, "unsigned body", failing, "nothing at this path"},
		{"no POST", serveHTTP(t, answering(405)), 1, "unsigned body", failing, "no POST"},
		{"failing", serveHTTP(t, answering(500)), 1, "unsigned body", failing, "log"},
		{"another refusal", serveHTTP(t, answering(422)), 0, "unsigned body", warning, "403 or 400"},
		{"redirecting: body", serveHTTP(t, redirecting(301, "/x")), 1, "unsigned body", failing, "redirected"},
		{"redirecting: redirect", serveHTTP(t, redirecting(301, "/x")), 1, "redirect", failing, "loses"},
		{"redirecting with POST", serveHTTP(t, redirecting(308, "/x")), 1, "redirect", failing, "five times"},
		{"slow", serveHTTP(t, hanging), 1, "answer", failing, "no answer within 300ms"},
		{"nobody", gone.URL, 1, "answer", failing, "refused"},
		{"login for GET", serveHTTP(t, guarded) + "/midtrans", 1, "GET", failing, "a login stands in front"},
		{"redirect for GET", serveHTTP(t, elsewhere) + "/midtrans", 0, "GET", warning, "/home"},
		{"slash missing", serveHTTP(t, slashed) + "/midtrans", 1, "redirect", failing, "/midtrans/"},
		{"slash that may be missed", serveHTTP(t, slashed) + "/midtrans/", 0, "trailing slash", warning, "exactly the URL"},
		{"page for everything", serveHTTP(t, catchAll) + "/midtrans", 0, "trailing slash", warning, "lost"},
	} {
		t.Run(c.name, func(t *testing.T) {
			code, by := diagnosis(t, invocation{}, "--local", "--timeout", map[bool]string{true: "300ms", false: "15s"}[c.name == "slow"], c.url)
			assert.Equal(t, c.code, code)
			assert.Equal(t, c.level, by[c.check].Level, "%+v", by)
			assert.Contains(t, by[c.check].Text, c.text)
		})
	}
}

// believing accepts whatever has a field, and refuses the rest.
func believing(name string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if !strings.Contains(string(body), `"`+name+`"`) {
			w.WriteHeader(http.StatusForbidden)
		}
	})
}

func TestDoctorRows(t *testing.T) {
	code, stdout, stderr := invocation{}.run(t, "doctor", "--local", serveHTTP(t, answering(200)))
	assert.Equal(t, exitWrong, code)
	assert.Empty(t, stderr)
	assert.Contains(t, stdout, "FAIL\tunsigned body\taccepted with 200: anyone")
}

func TestJudgeTime(t *testing.T) {
	for took, want := range map[time.Duration]level{
		time.Millisecond: fine, 5 * time.Second: fine, 6 * time.Second: warning, 16 * time.Second: failing,
	} {
		got, _ := judgeTime(took)
		assert.Equal(t, want, got, took)
	}
}

// A page of HTML is not midhook's refusal.
func TestJudgeRefusalOfAFirewall(t *testing.T) {
	l, text := judgeRefusal(seen{status: 403, html: true})
	assert.Equal(t, warning, l)
	assert.Contains(t, text, "firewall")
	l, _ = judgeRefusal(seen{status: 403})
	assert.Equal(t, fine, l)
}

func TestJudgeCertificate(t *testing.T) {
	s := httptest.NewUnstartedServer(nil)
	s.StartTLS()
	defer s.Close()
	cert := s.Certificate()
	roots := x509.NewCertPool()
	roots.AddCert(cert)
	end := cert.NotAfter
	for _, c := range []struct {
		name, host string
		roots      *x509.CertPool
		now        time.Time
		level      level
		text       string
	}{
		{"valid", "example.com", roots, end.Add(-twoWeeks - time.Hour), fine, "valid for example.com"},
		{"expiring", "example.com", roots, end.Add(-twoWeeks + time.Hour), warning, "two weeks"},
		{"expired", "example.com", roots, end.Add(time.Second), failing, "expired"},
		{"not yet valid", "example.com", roots, cert.NotBefore.Add(-time.Hour), failing, "not valid"},
		{"of another host", "shop.invalid", roots, end.Add(-twoWeeks - time.Hour), failing, "not for shop.invalid"},
		{"of nobody", "example.com", x509.NewCertPool(), end.Add(-twoWeeks - time.Hour), failing, "no authority"},
	} {
		t.Run(c.name, func(t *testing.T) {
			l, text := judgeCertificate([]*x509.Certificate{cert}, c.host, c.roots, c.now)
			assert.Equal(t, c.level, l)
			assert.Contains(t, text, c.text)
		})
	}
	l, _ := judgeCertificate(nil, "example.com", roots, end)
	assert.Equal(t, failing, l)
}

func TestIsPublic(t *testing.T) {
	for text, want := range map[string]bool{
		"8.8.8.8": true, "2001:4860:4860::8888": true, "103.127.16.1": true, "::ffff:8.8.8.8": true,
		"127.0.0.1": false, "::1": false, "10.0.0.1": false, "172.16.0.1": false, "192.168.1.1": false,
		"169.254.169.254": false, "fe80::1": false, "fd00::1": false, "100.64.0.1": false, "0.0.0.0": false, "0.1.2.3": false,
		"224.0.0.1": false, "ff02::1": false, "192.0.2.1": false, "2001:db8::1": false, "255.255.255.255": false,
		"::ffff:127.0.0.1": false, "::ffff:10.0.0.1": false, "198.18.0.1": false,
	} {
		assert.Equal(t, want, isPublic(netip.MustParseAddr(text)), text)
	}
	public, private := netip.MustParseAddr("8.8.8.8"), netip.MustParseAddr("10.0.0.1")
	assert.Equal(t, fine, judgeAddresses([]netip.Addr{public}))
	assert.Equal(t, warning, judgeAddresses([]netip.Addr{public, private}))
	assert.Equal(t, failing, judgeAddresses([]netip.Addr{private}))
	assert.Contains(t, addressText("shop.example", []netip.Addr{public, private}), "10.0.0.1")
}

func TestDoctorSchemeAndPort(t *testing.T) {
	for text, want := range map[string]map[string]level{
		"https://shop.example/":      {"scheme": fine, "port": fine},
		"https://shop.example:443/":  {"scheme": fine, "port": fine},
		"http://shop.example/":       {"scheme": warning, "port": fine},
		"http://shop.example:80/":    {"scheme": warning, "port": fine},
		"https://shop.example:8443/": {"scheme": fine, "port": failing},
	} {
		u, err := parseTarget(text)
		require.NoError(t, err)
		got := map[string]level{}
		p := &patient{url: u, say: func(check string, l level, _ string, _ ...any) { got[check] = l }}
		p.checkScheme()
		p.checkPort()
		assert.Equal(t, want, got, text)
	}
}
