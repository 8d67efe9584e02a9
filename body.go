package midhook

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"time"
)

// receive reads the body, within the budget and the limit.
func (d *delivery) receive() result {
	if d.r.Method != http.MethodPost {
		return result{outcome: OutcomeMethodNotAllowed}
	}
	if d.r.ContentLength > d.maxBodyBytes {
		return result{outcome: OutcomeBodyTooLarge}
	}
	body, err := d.readBody()
	_, tooLarge := errors.AsType[*http.MaxBytesError](err)
	switch {
	case tooLarge || int64(len(body)) > d.maxBodyBytes:
		return result{outcome: OutcomeBodyTooLarge}
	case err != nil:
		return result{outcome: OutcomeBodyIncomplete, err: err}
	case int64(len(body)) < d.r.ContentLength, d.r.ContentLength < 0 && len(body) == 0:
		return result{outcome: OutcomeBodyIncomplete, err: errors.New("the body is shorter than was announced: has outer middleware read it?")}
	}
	d.body = body
	d.bodyComplete.Store(true)
	return result{}
}

// readBody returns at the end of the budget at the latest: answerAtBudget ends a read
// that takes too long. Where it cannot, the read is left behind.
func (d *delivery) readBody() ([]byte, error) {
	switch {
	case d.r.Body == nil:
		return nil, nil
	case !d.mustLeaveReading():
		return readAll(d.r, d.maxBodyBytes)
	}
	type read struct {
		body []byte
		err  error
	}
	done := make(chan read, 1)
	go func() {
		defer func() {
			if v := recover(); v != nil {
				done <- read{err: fmt.Errorf("reading the body panicked: %v", v)}
			}
		}()
		body, err := readAll(d.r, d.maxBodyBytes)
		done <- read{body, err}
	}()
	timer := time.NewTimer(time.Until(d.deadline()))
	defer timer.Stop()
	select {
	case r := <-done:
		return r.body, r.err
	case <-timer.C:
		return nil, ErrBudgetExceeded
	}
}

// mustLeaveReading reports whether the body comes from a socket whose deadlines an
// outer ResponseWriter hides. net/http's Close waits for the Read that is under way,
// so nothing else than a goroutine of its own keeps such a Read from holding the
// request past its budget.
func (d *delivery) mustLeaveReading() bool {
	if d.r.ContentLength == 0 || d.r.Context().Value(http.ServerContextKey) == nil {
		return false
	}
	w := d.w.inner
	for {
		switch outer := w.(type) {
		case interface{ SetReadDeadline(time.Time) error }:
			return false
		case interface{ Unwrap() http.ResponseWriter }:
			w = outer.Unwrap()
		default:
			return true
		}
	}
}

// firstRead is how much is read at first where the length is not known, and at most
// where it is: memory grows with what arrives, not with what a stranger promises.
const (
	firstRead     = 1 << 10
	firstPromised = 8 << 10
)

// readAll reads little more than limit bytes.
func readAll(r *http.Request, limit int64) ([]byte, error) {
	size := int64(firstRead)
	if r.ContentLength >= 0 {
		size = min(r.ContentLength, firstPromised)
	}
	body := make([]byte, 0, size+1) // one more, so that the end is seen without growing
	for {
		n, err := r.Body.Read(body[len(body):cap(body)])
		body = body[:len(body)+n]
		switch {
		case err == io.EOF:
			return body, nil
		case err != nil || int64(len(body)) > limit:
			return body, err
		case len(body) == cap(body):
			body = slices.Grow(body, bytes.MinRead)
		}
	}
}

// bodyReader is a body that has been read, once more. It has no WriteTo, which would
// hand the body itself to a Writer.
type bodyReader struct{ body bytes.Reader }

func (r *bodyReader) Read(p []byte) (int, error) { return r.body.Read(p) }

func (*bodyReader) Close() error { return nil }
