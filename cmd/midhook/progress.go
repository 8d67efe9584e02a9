package main

import (
	"fmt"
	"io"
	"os"
	"time"
)

// silence is how long a person looks at a silent terminal without a doubt.
const silence = 2 * time.Second

// tellProgress tells a person that a command is still at work, until stop. What
// reads stderr as a program is told nothing.
func tellProgress(stderr io.Writer, name string) (stop func()) {
	if f, ok := stderr.(*os.File); !ok || !isTerminal(f) {
		return func() {}
	}
	return tellEvery(silence, stderr, name)
}

func tellEvery(interval time.Duration, w io.Writer, name string) (stop func()) {
	over, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		start, tick := time.Now(), time.NewTicker(interval)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				fmt.Fprintf(w, "midhook %s: still at work after %.0f s; Ctrl-C ends it\n", name, time.Since(start).Seconds())
			case <-over:
				return
			}
		}
	}()
	return func() {
		close(over)
		<-ended
	}
}
