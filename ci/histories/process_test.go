package histories

import (
	"bufio"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// process is one of a merchant's, which is started again when it dies.
type process struct {
	t      *testing.T
	config string
	ledger *ledger
	over   sync.WaitGroup

	mu      sync.Mutex
	cmd     *exec.Cmd
	stdin   io.Closer
	address string // "" while it does not listen
	closing bool
	deaths  int
}

func startProcess(t *testing.T, b backend, where string, l *ledger) *process {
	t.Helper()
	config, err := json.Marshal(merchantConfig{Backend: b.name, Where: where, Defect: b.defect, Ledger: l.server.URL})
	require.NoError(t, err)
	p := &process{t: t, config: string(config), ledger: l}
	require.NoError(t, p.start())
	t.Cleanup(p.end)
	return p
}

func (p *process) start() error {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), merchantVariable+"="+p.config)
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	p.mu.Lock()
	p.cmd, p.stdin = cmd, stdin
	p.mu.Unlock()
	p.over.Go(func() { p.supervise(cmd, out) })
	return nil
}

// supervise listens to a process until it is gone, and starts the next.
func (p *process) supervise(cmd *exec.Cmd, out io.Reader) {
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		if address, ok := strings.CutPrefix(lines.Text(), "listening "); ok {
			p.mu.Lock()
			p.address = address
			p.mu.Unlock()
			continue
		}
		p.ledger.search(lines.Text())
	}
	err := cmd.Wait()
	p.ledger.died(cmd.Process.Pid)
	p.mu.Lock()
	p.address = ""
	closing := p.closing
	p.deaths++
	p.mu.Unlock()
	if closing {
		assert.NoError(p.t, err, "the process shuts down and keeps no goroutine")
		return
	}
	assert.NoError(p.t, p.start())
}

func (p *process) signal(s syscall.Signal) {
	p.mu.Lock()
	defer p.mu.Unlock()
	_ = p.cmd.Process.Signal(s)
}

func (p *process) url() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return "http://" + p.address
}

func (p *process) died() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.deaths
}

func (p *process) listens() bool { return p.url() != "http://" }

func (p *process) end() {
	for deadline := time.Now().Add(patience); !p.listens() && time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		continue // it is being started again
	}
	p.mu.Lock()
	p.closing = true
	_ = p.cmd.Process.Signal(syscall.SIGCONT)
	p.stdin.Close()
	p.mu.Unlock()
	p.over.Wait()
}
