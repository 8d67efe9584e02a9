package midhooktest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"time"
)

// RetryPolicy is what a sender of notifications does about the answers it gets.
//
// The number of retries depends on the answer, and answers differ from attempt to
// attempt. The latest one decides: another attempt follows if fewer retries were
// made so far, after whatever answers, than the latest answer allows. A sender
// that allows four for a 503 and one for a 500 gives up after 503, 503, 500 and
// goes on after 500, 503. Midtrans does not document this; a counter of retries
// that is compared with a limit is how such engines are commonly built.
type RetryPolicy struct {
	Timeout   time.Duration   // of one attempt, with its redirects and the whole answer; 0 for none
	Waits     []time.Duration // the longest wait before each retry; no more retries than there are waits
	Early     float64         // share of a wait by which a retry comes early at most, 0 to 1
	Retries   map[int]int     // how many retries there are at most, by the latest answer's status
	Otherwise int             // the same for other statuses, timeouts and broken connections
	Follow    []int           // statuses of the redirects that are followed, with the same body
	Redirects int             // how many are followed in one attempt; the next is a failure

	Successes    [2]int // the lowest and the highest status of a success; 0 and 0 for every 2xx
	WantsJSON    bool   // a success has a JSON body
	DisableAfter int    // so many events in a row that were lost end all deliveries of an Engine; 0 for never
}

// MidtransRetries returns the policy of Midtrans: 15 s for an attempt; no retry
// after 301, 302 and 303, one after 500, two after 400 and 404, four after 503,
// five after anything else; up to five redirects of status 307 and 308.
//
// Retries come at most 2, 10, 30, 90 and 210 minutes after the attempt before,
// 342 minutes in all. Midtrans shifts each by a random time and gives one example,
// a first retry after 33 s: here every retry may come early by the same share.
func MidtransRetries() RetryPolicy {
	return RetryPolicy{
		Timeout: 15 * time.Second,
		Waits:   []time.Duration{2 * time.Minute, 10 * time.Minute, 30 * time.Minute, 90 * time.Minute, 210 * time.Minute},
		Early:   1 - 33.0/120,
		Retries: map[int]int{
			http.StatusMovedPermanently:    0,
			http.StatusFound:               0,
			http.StatusSeeOther:            0,
			http.StatusInternalServerError: 1,
			http.StatusBadRequest:          2,
			http.StatusNotFound:            2,
			http.StatusServiceUnavailable:  4,
		},
		Otherwise: 5,
		Follow:    []int{http.StatusTemporaryRedirect, http.StatusPermanentRedirect},
		Redirects: 5,
	}
}

// NoRetries returns the policy of a sender that does not come again, which is what
// to expect of Opn: it guarantees no retry. It waits 15 s, which is not documented.
func NoRetries() RetryPolicy { return RetryPolicy{Timeout: 15 * time.Second} }

// PayMongoRetries returns the policy of PayMongo: 30 s for an attempt, a success is
// a status from 200 to 209 with a JSON body, up to twelve retries after anything
// else, and an endpoint is disabled after three events in a row that were lost.
//
// That all retries come within 136.5 minutes is documented, when each comes is not:
// twelve waits that double from two seconds on add up to just that.
func PayMongoRetries() RetryPolicy {
	p := RetryPolicy{Timeout: 30 * time.Second, Otherwise: 12, Successes: [2]int{200, 209}, WantsJSON: true, DisableAfter: 3}
	for wait := 2 * time.Second; len(p.Waits) < p.Otherwise; wait *= 2 {
		p.Waits = append(p.Waits, wait)
	}
	return p
}

// Succeeds reports whether the sender takes an answer for a success. Of a longer
// body its first kilobyte will do.
func (p RetryPolicy) Succeeds(status int, body []byte) bool {
	return p.welcome(status) && (!p.WantsJSON || isJSON(body))
}

// RetriesAfter is how many times the sender comes again at most when this is the
// latest answer's status, 0 if there was no answer. It does not look at successes.
func (p RetryPolicy) RetriesAfter(status int) int {
	allowed, known := p.Retries[status]
	if !known {
		allowed = p.Otherwise
	}
	return min(allowed, len(p.Waits))
}

// Follows reports whether the sender follows the redirect of a status when it has
// followed so many others in one attempt.
func (p RetryPolicy) Follows(status, followed int) bool {
	return slices.Contains(p.Follow, status) && followed < p.Redirects
}

// welcome reports whether a status is that of a success.
func (p RetryPolicy) welcome(status int) bool {
	lowest, highest := p.Successes[0], p.Successes[1]
	if highest == 0 {
		lowest, highest = 200, 299
	}
	return lowest <= status && status <= highest
}

// isJSON reports whether an answer is JSON. One that is kept in part is if that
// part can be the beginning of some: a long page of HTML cannot.
func isJSON(body []byte) bool {
	if json.Valid(body) {
		return true
	}
	var value json.RawMessage
	return len(body) == answerSize && errors.Is(json.NewDecoder(bytes.NewReader(body)).Decode(&value), io.ErrUnexpectedEOF)
}

// disables reports whether so many lost events in a row end all deliveries.
func (p RetryPolicy) disables(lost int) bool { return p.DisableAfter > 0 && lost >= p.DisableAfter }

// judge says whether another attempt follows when made retries were made, and
// why, in words.
func (p RetryPolicy) judge(made int, status int, body []byte, err error) (again bool, why string) {
	seen := fmt.Sprint(status)
	if err != nil {
		seen, status = err.Error(), 0
	}
	allowed := p.RetriesAfter(status)
	succeeded := err == nil && p.Succeeds(status, body)
	if !succeeded && status/100 == 2 {
		seen += " is no success"
		if p.welcome(status) { // so it was the body
			seen += " without JSON"
		}
	}
	switch {
	case succeeded:
		return false, seen + ": delivered"
	case made < allowed:
		return true, fmt.Sprintf("%s: retry %d of %d follows", seen, made+1, allowed)
	case allowed == 0:
		return false, seen + ": no retry follows, lost"
	case allowed == 1:
		return false, seen + ": no more than 1 retry, lost"
	default:
		return false, fmt.Sprintf("%s: no more than %d retries, lost", seen, allowed)
	}
}

// wait draws the time before the retry that follows made others.
func (p RetryPolicy) wait(made int, random *rand.Rand) time.Duration {
	longest := p.Waits[made]
	return longest - time.Duration(p.Early*random.Float64()*float64(longest))
}

// once is the policy without retries.
func (p RetryPolicy) once() RetryPolicy {
	p.Waits = nil
	return p
}
