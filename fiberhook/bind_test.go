package fiberhook_test

import (
	"bytes"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/gofiber/fiber/v3"

	"github.com/midhook/midhook"
	"github.com/midhook/midhook/fiberhook"
	"github.com/midhook/midhook/internal/bindtest"
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
