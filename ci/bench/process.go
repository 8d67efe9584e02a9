package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"

	"github.com/midhook/midhook/ci/loadkit"
)

// The server has a core of its own where there is more than one, and the client and the
// stores' servers share another one.
const (
	serverCore = 0
	clientCore = 1
)

// leaveServerCore keeps this process, and the stores' servers that it is going to start,
// off the core of the server that is measured.
func leaveServerCore() error {
	runtime.GOMAXPROCS(1)
	return loadkit.Pin(clientCore)
}

// serverProcess is the server as the client sees it.
type serverProcess struct {
	address string
	process *exec.Cmd
	asks    io.WriteCloser
	answers *json.Decoder
}

// startServer returns when the server listens.
func startServer(s setup) (*serverProcess, error) {
	text, err := json.Marshal(s)
	if err != nil {
		return nil, err
	}
	process, err := loadkit.Command(serverCore)
	if err != nil {
		return nil, err
	}
	process.Env = append(os.Environ(), "GOMAXPROCS=1", serverVariable+"="+string(text))
	asks, err := process.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := process.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := process.Start(); err != nil {
		return nil, err
	}
	p := &serverProcess{process: process, asks: asks, answers: json.NewDecoder(out)}
	first, err := p.read()
	if err != nil {
		p.stop()
		return nil, err
	}
	p.address = first.Address
	return p, nil
}

func (p *serverProcess) ask(question string) (report, error) {
	if _, err := fmt.Fprintln(p.asks, question); err != nil {
		return report{}, err
	}
	return p.read()
}

func (p *serverProcess) read() (r report, err error) {
	if err := p.answers.Decode(&r); err != nil {
		return r, fmt.Errorf("the server has ended: %w", err)
	}
	return r, nil
}

func (p *serverProcess) stop() {
	_ = p.asks.Close()
	_ = p.process.Wait()
}
