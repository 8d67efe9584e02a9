package midhooktest

import (
	"bytes"
	"fmt"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// testInBubble is [synctest.Test], but for a bubble that stands still for ever it fails
// t and leaves the bubble behind.
//
// The clock of a bubble goes on when all its goroutines wait for each other or for
// the clock. A goroutine that waits for a mutex is not one of those: if the mutex is
// held by one that waits for the clock, all of them wait until the test binary's
// timeout. So the watchdog runs outside of the bubble, by the real clock.
func testInBubble(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	var bubble atomic.Pointer[string]
	ended := make(chan struct{})
	go func() {
		defer close(ended) // when the test has called FailNow, too
		synctest.Test(t, func(t *testing.T) {
			t.Helper()
			own := make([]byte, 256)
			header, _, _ := strings.Cut(string(own[:runtime.Stack(own, false)]), "\n")
			name := bubbleName.FindString(header)
			bubble.Store(&name)
			f(t)
		})
	}()
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	var last standstill
	for since := 1; ; since++ {
		select {
		case <-ended:
			if t.Failed() {
				t.FailNow()
			}
			return
		case <-ticker.C:
		}
		name := bubble.Load()
		if name == nil {
			continue
		}
		now := lookInto(*name)
		if now.states == "" || now.states != last.states {
			last, since = now, 0
			continue
		}
		switch stood := time.Duration(since) * lookEvery; {
		case now.mutex && stood >= 2*time.Second:
			t.Fatalf("midhooktest: a mutex is held over work that takes its time:\n%s\n"+
				"The clock of a bubble of testing/synctest stands still while a goroutine waits for a mutex, so its holder never gets through. "+
				"Hold no mutex over Mishap.Happen, nor over anything else that waits: a channel with room for one does the same and stops no clock.", now)
		case stood >= 30*time.Second: // it may have been a slow answer from outside
			t.Fatalf("midhooktest: the bubble of testing/synctest stands still:\n%s\n"+
				"What waits for the world outside of a bubble, such as a socket, stops its clock: play the scenario without a bubble, by Scenario.Play.", now)
		}
	}
}

// lookEvery is how often the watchdog looks.
const lookEvery = 500 * time.Millisecond

var (
	bubbleName      = regexp.MustCompile(`synctest bubble \d+`)
	goroutineHeader = regexp.MustCompile(`^goroutine (\d+) \[([^\],]*)`)
	stackFrame      = regexp.MustCompile(`(?m)^(\S.*)\(.*\)\n\t(\S+:\d+)`)
)

// standstill is a bubble in which nothing runs, and which waits for more than itself.
type standstill struct {
	states   string // of all its goroutines; "" if something runs
	mutex    bool   // one of them waits for a mutex
	blockers []string
	handlers []string // what else runs in a handler
}

func (s standstill) String() string {
	const few = 3
	lines := slices.Clone(s.blockers[:min(few, len(s.blockers))])
	if more := len(s.blockers) - few; more > 0 {
		lines = append(lines, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(append(lines, s.handlers[:min(few, len(s.handlers))]...), "\n")
}

// lookInto says what the goroutines of a bubble wait for.
func lookInto(bubble string) (s standstill) {
	var states []string
	for stack := range strings.SplitSeq(allStacks(), "\n\n") {
		header, _, _ := strings.Cut(stack, "\n")
		m := goroutineHeader.FindStringSubmatch(header)
		if m == nil || bubbleName.FindString(header) != bubble {
			continue
		}
		number, state := m[1], m[2]
		states = append(states, number+" "+state)
		switch place := merchantsFrame(stack); {
		case strings.HasPrefix(state, "run"): // running or runnable
			return standstill{}
		case !strings.HasSuffix(state, "(durable)"):
			s.mutex = s.mutex || strings.HasPrefix(state, "sync.Mutex.") || strings.HasPrefix(state, "sync.RWMutex.")
			s.blockers = append(s.blockers, fmt.Sprintf("goroutine %s waits in %s (%s)", number, place, state))
		case strings.Contains(stack, ".ServeHTTP("):
			s.handlers = append(s.handlers, fmt.Sprintf("goroutine %s is meanwhile in %s (%s)", number, place, state))
		}
	}
	if len(s.blockers) == 0 {
		return standstill{} // the clock goes on
	}
	slices.Sort(states)
	s.states = strings.Join(states, "\n")
	return s
}

// allStacks is a dump of all goroutines, cut at 64 MiB.
func allStacks() string {
	for size := 1 << 20; ; size *= 2 {
		buffer := make([]byte, size)
		n := runtime.Stack(buffer, true)
		if n < size || size >= 64<<20 {
			return string(bytes.TrimSpace(buffer[:n]))
		}
	}
}

// merchantsFrame is the innermost function of a stack that is neither the standard
// library's nor this package's: where a merchant has to look.
func merchantsFrame(stack string) string {
	innermost := "an unknown place"
	for i, m := range stackFrame.FindAllStringSubmatch(stack, -1) {
		function, file := m[1], m[2]
		if i == 0 {
			innermost = function + ", " + file
		}
		first, _, _ := strings.Cut(function, "/")
		first, _, _ = strings.Cut(first, ".")
		ours := strings.HasPrefix(function, "github.com/midhook/midhook/midhooktest.")
		if !ours && !slices.Contains(standardLibrary, first) {
			return function + ", " + file
		}
	}
	return innermost
}

// standardLibrary has the first names of the packages in which goroutines wait.
var standardLibrary = []string{"bufio", "context", "database", "internal", "io", "net", "os", "runtime", "sync", "syscall", "testing", "time"}
