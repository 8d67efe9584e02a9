package loadkit

import (
	"math"
	"sync"
	"time"
)

// perDoubling is how many classes of latencies lie between a duration and its double.
const perDoubling = 16

// Latencies counts durations in classes, so that it stays small however many there are.
type Latencies struct {
	mu     sync.Mutex
	counts [64 * perDoubling]int64
	total  int64
	worst  time.Duration
}

// Add counts one duration.
func (l *Latencies) Add(d time.Duration) {
	d = max(d, time.Microsecond)
	class := int(math.Log2(float64(d)) * perDoubling)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.counts[class]++
	l.total++
	l.worst = max(l.worst, d)
}

// Summary is what is said of durations, in JSON between the processes.
type Summary struct {
	Count                   int64
	P50, P99, P999, Longest time.Duration
}

// Summary is of what was counted so far. A quantile is at most a 23rd too long.
func (l *Latencies) Summary() Summary {
	l.mu.Lock()
	defer l.mu.Unlock()
	return Summary{l.total, l.quantile(0.5), l.quantile(0.99), l.quantile(0.999), l.worst}
}

func (l *Latencies) quantile(q float64) time.Duration {
	before := int64(q * float64(l.total))
	for class, n := range l.counts {
		if before -= n; before < 0 {
			return min(l.worst, time.Duration(math.Exp2(float64(class+1)/perDoubling)))
		}
	}
	return l.worst
}
