package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const (
	connections = 16
	most        = 100_000 // requests, made before, so that the client costs little
)

// serveLoopback is the server's process: it prints its address, and its CPU time to
// whoever asks for /cpu.
func serveLoopback(name string) {
	mux := http.NewServeMux()
	mux.Handle("POST /", handlers[name](merchant))
	mux.HandleFunc("GET /cpu", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, int64(cpuTime())) })
	l, err := net.Listen("tcp", "127.0.0.1:0")
	fatal(err)
	fmt.Println(l.Addr())
	fatal(http.Serve(l, mux))
}

// loopback measures what a server does in its own process on one core, with the load
// from this process on the other.
func loopback(pairs int, lasts time.Duration) {
	names := []string{"midhook", "by hand", "empty"}
	perSecond, cpu := map[string][]float64{}, map[string][]time.Duration{}
	for range max(1, pairs/3) {
		for _, name := range names {
			n, c := load(name, lasts)
			perSecond[name] = append(perSecond[name], n)
			cpu[name] = append(cpu[name], c)
		}
	}
	fmt.Printf("\nover a loopback socket, %d connections, server and client on a core each\n  %-10s %12s %16s %26s\n", connections, "", "requests/s", "CPU a request", "CPU above the empty one")
	for _, name := range names {
		above := median(cpu[name]) - median(cpu["empty"])
		fmt.Printf("  %-10s %12.0f %16v %26v\n", name, median(perSecond[name]), median(cpu[name]), above)
	}
	fmt.Printf("  requests a second against the empty handler: midhook %.2f, by hand %.2f\n", median(perSecond["midhook"])/median(perSecond["empty"]), median(perSecond["by hand"])/median(perSecond["empty"]))
	fmt.Printf("  CPU above the empty handler against by hand's: %.2f\n",
		float64(median(cpu["midhook"])-median(cpu["empty"]))/float64(median(cpu["by hand"])-median(cpu["empty"])))
}

// load starts a server and sends new events to it for a while.
func load(name string, lasts time.Duration) (perSecond float64, cpuEach time.Duration) {
	args := []string{os.Args[0], "-serve", name}
	if _, err := exec.LookPath("taskset"); err == nil {
		args = append([]string{"taskset", "-c", "0"}, args...)
	}
	server := exec.Command(args[0], args[1:]...)
	server.Env = append(os.Environ(), "GOMAXPROCS=1")
	server.Stderr = os.Stderr
	out, err := server.StdoutPipe()
	fatal(err)
	fatal(server.Start())
	defer func() { _ = server.Process.Kill(); _ = server.Wait() }()
	address, err := bufio.NewReader(out).ReadString('\n')
	fatal(err)
	address = strings.TrimSpace(address)

	requests := prepared()
	var next, done atomic.Int64
	before := serverCPU(address)
	began := time.Now()
	var all sync.WaitGroup
	for range connections {
		all.Go(func() {
			c, err := net.Dial("tcp", address)
			fatal(err)
			defer c.Close()
			answers := bufio.NewReader(c)
			for time.Since(began) < lasts {
				i := next.Add(1)
				if i >= most {
					return
				}
				_, err := c.Write(requests[i])
				fatal(err)
				res, err := http.ReadResponse(answers, nil)
				fatal(err)
				_, _ = io.Copy(io.Discard, res.Body)
				if res.StatusCode != http.StatusOK {
					fatal(fmt.Errorf("%s answered %d", name, res.StatusCode))
				}
				done.Add(1)
			}
		})
	}
	all.Wait()
	took, used := time.Since(began), serverCPU(address)-before
	return float64(done.Load()) / took.Seconds(), used / time.Duration(done.Load())
}

// prepared are whole requests of different events, as Midtrans sends them. They are
// made once.
var prepared = sync.OnceValue(func() [][]byte {
	all := make([][]byte, most)
	for i, body := range bodies(most) {
		var b bytes.Buffer
		fmt.Fprintf(&b, "POST / HTTP/1.1\r\nHost: merchant.example\r\nUser-Agent: Veritrans\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n", len(body))
		b.Write(body)
		all[i] = b.Bytes()
	}
	return all
})

func serverCPU(address string) time.Duration {
	res, err := http.Get("http://" + address + "/cpu")
	fatal(err)
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	fatal(err)
	n, err := strconv.ParseInt(string(text), 10, 64)
	fatal(err)
	return time.Duration(n)
}
