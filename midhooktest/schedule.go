package midhooktest

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"time"
)

// RetryPolicy is what a sender of notifications does about the answers it gets.
// An attempt has succeeded if its answer is a 2xx.
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

// retries is how many retries an answer allows; status is 0 if there was none.
func (p RetryPolicy) retries(status int) int {
	allowed, known := p.Retries[status]
	if !known {
		allowed = p.Otherwise
	}
	return min(allowed, len(p.Waits))
}

// judge says whether another attempt follows when made retries were made, and
// why, in words.
func (p RetryPolicy) judge(made int, status int, err error) (again bool, why string) {
	seen := fmt.Sprint(status)
	if err != nil {
		seen, status = err.Error(), 0
	}
	allowed := p.retries(status)
	switch {
	case err == nil && status/100 == 2:
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

func (p RetryPolicy) follows(status int) bool { return slices.Contains(p.Follow, status) }

// once is the policy without retries.
func (p RetryPolicy) once() RetryPolicy {
	p.Waits = nil
	return p
}
