package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os/exec"
	"time"
)

// settles is how long after the load the last goroutine may end.
const settles = 30 * time.Second

// serverProcess is the server as the first process sees it.
type serverProcess struct {
	process *exec.Cmd
	address string
	asks    io.WriteCloser
	states  chan serverState
	ended   chan struct{}
}

func startServer(p plan, f *findings) *serverProcess {
	s := &serverProcess{process: command(serverCore, "-role", "serve"), states: make(chan serverState), ended: make(chan struct{})}
	var err error
	s.asks, err = s.process.StdinPipe()
	fatal(err)
	out, err := s.process.StdoutPipe()
	fatal(err)
	fatal(s.process.Start())
	reports := json.NewDecoder(out)
	var first report
	fatal(reports.Decode(&first))
	s.address = first.Address
	go func() {
		defer close(s.ended)
		for {
			var r report
			if err := reports.Decode(&r); err != nil {
				return
			}
			switch {
			case r.Handled != "":
				f.handled[r.Handled]++
			case r.Overlap != "":
				f.broken = append(f.broken, r.Overlap+" was handled twice at once")
			case r.State != nil:
				s.states <- *r.State
			}
		}
	}()
	return s
}

// ask returns the server's state.
func (s *serverProcess) ask() serverState {
	_, err := fmt.Fprintln(s.asks, "state")
	fatal(err)
	select {
	case state := <-s.states:
		return state
	case <-s.ended:
		fatal(fmt.Errorf("the server has died"))
	case <-time.After(time.Minute):
		fatal(fmt.Errorf("the server does not say how it is"))
	}
	return serverState{}
}

// settled is the state when nothing is left of the load, or when that takes too long.
// The runtime lets go of timers that were stopped only little by little, and of what
// they belong to.
func (s *serverProcess) settled(before serverState) serverState {
	for deadline := time.Now().Add(settles); ; time.Sleep(500 * time.Millisecond) {
		state := s.ask()
		if state.leaves(before) || time.Now().After(deadline) {
			return state
		}
	}
}

// leaves reports whether no more is in the server than was before the load.
func (st serverState) leaves(before serverState) bool {
	return st.InFlight == 0 && st.Goroutines <= before.Goroutines && st.Heap <= before.Heap+heapMayVary
}

// stop ends the server, and what it has said is then complete.
func (s *serverProcess) stop() {
	_ = s.asks.Close()
	<-s.ended
	_ = s.process.Wait()
}
