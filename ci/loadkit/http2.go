package loadkit

import (
	"bufio"
	"bytes"
	"errors"
	"net"
	"strconv"
	"sync"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

const (
	frameSize   = 16 << 10 // the largest that every server takes
	largeWindow = 1 << 30  // for as many answers as there will be
)

// HTTP2Conn is a client's connection frame by frame: a client that misbehaves must
// not be held back by a package that behaves.
type HTTP2Conn struct {
	conn   net.Conn
	framer *http2.Framer // its reading half belongs to one goroutine

	mu      sync.Mutex // of what writes
	out     *bufio.Writer
	encoder *hpack.Encoder
	fields  bytes.Buffer
	stream  uint32
}

// NewHTTP2Conn begins HTTP/2 without TLS on a connection.
func NewHTTP2Conn(conn net.Conn, settings ...http2.Setting) (*HTTP2Conn, error) {
	c := &HTTP2Conn{conn: conn, out: bufio.NewWriterSize(conn, frameSize)}
	c.framer = http2.NewFramer(c.out, bufio.NewReader(conn))
	c.framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	c.framer.SetReuseFrames()
	c.encoder = hpack.NewEncoder(&c.fields)
	_, _ = c.out.WriteString(http2.ClientPreface)
	return c, errors.Join(
		c.framer.WriteSettings(settings...),
		c.framer.WriteWindowUpdate(0, largeWindow),
		c.Flush())
}

// Close closes the connection with all its streams.
func (c *HTTP2Conn) Close() error { return c.conn.Close() }

// SetDeadline bounds reading and writing.
func (c *HTTP2Conn) SetDeadline(t time.Time) error { return c.conn.SetDeadline(t) }

// Begin opens a stream whose body is to have length bytes.
func (c *HTTP2Conn) Begin(length int) (stream uint32, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stream == 0 {
		c.stream = 1
	} else {
		c.stream += 2
	}
	c.fields.Reset()
	for _, f := range [][2]string{
		{":method", "POST"}, {":scheme", "http"}, {":authority", host}, {":path", Path},
		{"user-agent", userAgent}, {"content-type", mediaType}, {"content-length", strconv.Itoa(length)},
	} {
		_ = c.encoder.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]})
	}
	return c.stream, c.framer.WriteHeaders(http2.HeadersFrameParam{
		StreamID: c.stream, BlockFragment: c.fields.Bytes(), EndHeaders: true,
	})
}

// Send appends to the body of a stream; end says that the body is complete.
func (c *HTTP2Conn) Send(stream uint32, body []byte, end bool) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(body) > frameSize {
		if err := c.framer.WriteData(stream, false, body[:frameSize]); err != nil {
			return err
		}
		body = body[frameSize:]
	}
	return c.framer.WriteData(stream, end, body)
}

// Flush sends what Begin and Send have left in a buffer.
func (c *HTTP2Conn) Flush() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.out.Flush()
}

// Answer is what is read of a stream: its status, and later its end.
type Answer struct {
	Stream uint32
	Status int  // 0 where a frame has none
	Ends   bool // the server says no more on this stream
}

// Read returns the next of what the server says of any stream.
func (c *HTTP2Conn) Read() (Answer, error) {
	for {
		frame, err := c.framer.ReadFrame()
		if err != nil {
			return Answer{}, err
		}
		switch f := frame.(type) {
		case *http2.MetaHeadersFrame:
			status, _ := strconv.Atoi(f.PseudoValue("status"))
			return Answer{f.StreamID, status, f.StreamEnded()}, nil
		case *http2.DataFrame:
			if f.StreamEnded() {
				return Answer{Stream: f.StreamID, Ends: true}, nil
			}
		case *http2.RSTStreamFrame:
			return Answer{Stream: f.StreamID, Ends: true}, nil
		case *http2.GoAwayFrame:
			return Answer{}, errors.New("the server goes away")
		case *http2.SettingsFrame:
			if !f.IsAck() {
				c.reply(func() error { return c.framer.WriteSettingsAck() })
			}
		case *http2.PingFrame:
			if !f.IsAck() {
				c.reply(func() error { return c.framer.WritePing(true, f.Data) })
			}
		}
	}
}

// reply is what HTTP/2 wants of a client. Where it fails the next read does, too.
func (c *HTTP2Conn) reply(write func() error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	_ = write()
	_ = c.out.Flush()
}
