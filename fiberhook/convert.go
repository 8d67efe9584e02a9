package fiberhook

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/gofiber/fiber/v3"
	"github.com/valyala/fasthttp"
)

// newRequest is c's request, in memory of its own: fasthttp uses its for other
// requests while a detached handler, the log and an observer may still read.
func newRequest(c fiber.Ctx) *http.Request {
	in := c.Request()
	r := &http.Request{
		Method:     strings.Clone(c.Method()),
		URL:        &url.URL{Path: string(in.URI().Path()), RawQuery: string(in.URI().QueryString())},
		Proto:      "HTTP/1.1",
		ProtoMajor: 1,
		ProtoMinor: 1,
		Header:     http.Header{},
		Host:       string(in.Host()),
		RemoteAddr: c.RequestCtx().RemoteAddr().String(),
		RequestURI: string(in.RequestURI()),
	}
	for name, value := range in.Header.All() {
		r.Header.Add(string(name), string(value))
	}
	if stream := in.BodyStream(); stream != nil { // fiber's StreamRequestBody: midhook's limit applies
		r.Body, r.ContentLength = io.NopCloser(stream), int64(in.Header.ContentLength())
	} else {
		body := bytes.Clone(in.Body())
		r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	}
	return r.WithContext(c.Context())
}

// replaceBody has c read what midhook hands on: a streamed body, which midhook has
// read, or what the status API answered in the notified body's place. The function
// that it returns gives middleware outside the notified body back.
func replaceBody(c fiber.Ctx, r *http.Request) (restore func()) {
	handed, _ := io.ReadAll(r.Body) // from memory
	in := c.Request()
	restoreHeader := replaceHeader(in, r.Header)
	if in.IsBodyStream() {
		in.SetBody(handed)
		return restoreHeader
	}
	notified := bytes.Clone(in.Body())
	if bytes.Equal(handed, notified) {
		return restoreHeader
	}
	in.SetBody(handed)
	return func() {
		restoreHeader()
		in.SetBody(notified)
	}
}

// replaceHeader has fiber read the body as midhook says that it is to be read: c.Body
// decodes it by its Content-Encoding, and c.Bind binds it by its Content-Type.
func replaceHeader(in *fasthttp.Request, handed http.Header) (restore func()) {
	contentType := string(in.Header.ContentType())
	in.Header.SetContentType(handed.Get(fiber.HeaderContentType))
	var encodings []string
	for _, encoding := range in.Header.PeekAll(fiber.HeaderContentEncoding) {
		encodings = append(encodings, string(encoding))
	}
	if len(handed[fiber.HeaderContentEncoding]) == 0 {
		in.Header.Del(fiber.HeaderContentEncoding)
	}
	return func() {
		in.Header.SetContentType(contentType)
		in.Header.Del(fiber.HeaderContentEncoding)
		for _, encoding := range encodings {
			in.Header.Add(fiber.HeaderContentEncoding, encoding)
		}
	}
}

// recorder keeps midhook's answer until fasthttp sends it.
type recorder struct {
	conn   net.Conn
	header http.Header
	status int
	body   bytes.Buffer
}

func newRecorder(c fiber.Ctx) *recorder {
	return &recorder{conn: c.RequestCtx().Conn(), header: http.Header{}}
}

func (w *recorder) Header() http.Header         { return w.header }
func (w *recorder) Write(p []byte) (int, error) { w.WriteHeader(http.StatusOK); return w.body.Write(p) }

func (w *recorder) WriteHeader(status int) {
	if w.status == 0 && status >= 200 { // there is no way to send a 1xx
		w.status = status
	}
}

// SetReadDeadline is for [http.ResponseController]: at the budget midhook ends a
// streamed body that does not arrive.
func (w *recorder) SetReadDeadline(t time.Time) error { return w.conn.SetReadDeadline(t) }

// send makes the answer that of to.
func (w *recorder) send(to *fasthttp.Response) {
	w.WriteHeader(http.StatusOK)
	to.SetStatusCode(w.status)
	for name, values := range w.header {
		to.Header.Del(name)
		for _, value := range values {
			to.Header.Add(name, value)
		}
	}
	to.SetBody(w.body.Bytes())
}

// copyResponse writes what a handler has answered to w. It fails where the stream of
// its body does.
func copyResponse(w http.ResponseWriter, from *fasthttp.Response) error {
	var body bytes.Buffer
	if err := from.BodyWriteTo(&body); err != nil {
		return err
	}
	header := http.Header{}
	for name, value := range from.Header.All() {
		header.Add(string(name), string(value))
	}
	header.Del(fiber.HeaderContentLength) // fasthttp's business
	for name, values := range header {
		w.Header()[name] = values
	}
	w.WriteHeader(from.StatusCode())
	_, _ = w.Write(body.Bytes()) // too late or not, midhook knows the status
	return nil
}

// untouched reports whether nobody has answered.
func untouched(r *fasthttp.Response) bool {
	return r.StatusCode() == fasthttp.StatusOK && !r.IsBodyStream() && len(r.Body()) == 0
}

// saved is a response as it was.
type saved struct{ *fasthttp.Response }

func snapshot(r *fasthttp.Response) saved {
	s := saved{fasthttp.AcquireResponse()}
	r.CopyTo(s.Response)
	return s
}

// restore undoes what was done to r since.
func (s saved) restore(r *fasthttp.Response) {
	r.Reset()
	s.CopyTo(r)
}

func (s saved) release() { fasthttp.ReleaseResponse(s.Response) }

// Interface guards
var (
	_ http.ResponseWriter                           = (*recorder)(nil)
	_ interface{ SetReadDeadline(time.Time) error } = (*recorder)(nil)
)
