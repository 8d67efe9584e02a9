package fiberhook_test

import (
	"bytes"
	"net"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/gofiber/fiber/v3"

	"github.com/midhook/midhook"
	"github.com/midhook/midhook/fiberhook"
	"github.com/midhook/midhook/internal/bindtest"
	"github.com/midhook/midhook/midhooktest"
)

// routes are fiber's binders of a body, which may come as a stream, and with headers
// that are left as they were sent.
func routes() map[string]bindtest.Route {
	routes := map[string]bindtest.Route{}
	for how, config := range map[string]fiber.Config{
		"":                         {},
		"of a stream":              {StreamRequestBody: true, BodyLimit: 1},
		"with headers as they are": {DisableHeaderNormalizing: true},
	} {
		for name, bind := range map[string]func(*fiber.Bind, any) error{"Body": (*fiber.Bind).Body, "JSON": (*fiber.Bind).JSON} {
			routes[name+" "+how] = func(hook *midhook.Middleware, read func(*midhook.Notification, bindtest.Bind)) func(*http.Request) {
				app := fiber.New(config)
				app.Post("/hook/:order_id/:fraud_status", fiberhook.New(hook), func(c fiber.Ctx) error {
					n, _ := fiberhook.FromContext(c)
					read(n, func(target any) error { return bind(c.Bind(), target) })
					return nil
				})
				app.Handler() // makes it ready to serve
				return func(request *http.Request) {
					var sent bytes.Buffer
					_ = request.Write(&sent)
					_ = app.Server().ServeConn(&memoryConn{in: &sent})
				}
			}
		}
	}
	return routes
}

// memoryConn is a connection of a client that has sent all it has to say, and does not
// listen.
type memoryConn struct{ in *bytes.Buffer }

func (c *memoryConn) Read(p []byte) (int, error)     { return c.in.Read(p) }
func (*memoryConn) Write(p []byte) (int, error)      { return len(p), nil }
func (*memoryConn) Close() error                     { return nil }
func (*memoryConn) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (*memoryConn) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (*memoryConn) SetDeadline(time.Time) error      { return nil }
func (*memoryConn) SetReadDeadline(time.Time) error  { return nil }
func (*memoryConn) SetWriteDeadline(time.Time) error { return nil }

// Rule: what fiber's binders read from a delivery is what the notification says, or
// they fail, whatever its headers, its query and its path are.
func TestBindersReadAlike(t *testing.T) { bindtest.Test(t, routes()) }

func FuzzBind(f *testing.F) { bindtest.Fuzz(f, routes()) }

// Rule: a handler reads the body as it was verified, whatever it is said to be encoded
// in; middleware outside has the headers that came.
func TestHandlersBodyIsNotDecoded(t *testing.T) {
	body := midhooktest.Body(midhooktest.Sample("gopay"), key)
	encodings := []string{"gzip", "br"}
	for _, config := range []fiber.Config{{}, {StreamRequestBody: true}} {
		var outside, inside []string
		app := fiber.New(config)
		app.Use(func(c fiber.Ctx) error {
			err := c.Next()
			outside = c.GetReqHeaders()["Content-Encoding"]
			return err
		})
		app.Post("/", fiberhook.New(newHook(t)), func(c fiber.Ctx) error {
			inside = c.GetReqHeaders()["Content-Encoding"]
			if !bytes.Equal(c.Body(), body) {
				t.Errorf("got %q", c.Body())
			}
			return nil
		})
		req, err := http.NewRequest(http.MethodPost, serve(t, app), bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header = http.Header{"Content-Type": {"application/json"}, "Content-Encoding": encodings}
		res, err := http.DefaultTransport.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != 200 || len(inside) > 0 || !slices.Equal(outside, encodings) {
			t.Errorf("got %d, inside %q, outside %q", res.StatusCode, inside, outside)
		}
	}
}
