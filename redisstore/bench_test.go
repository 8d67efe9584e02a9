package redisstore_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/midhook/midhook"
)

// BenchmarkOperations measures the operations beside a bare PING of the same
// client: ns for each, and how many bare round trips that is. They take short
// turns, and each is compared with the pings just before and just after it, so
// that a machine that is busy, or slow for a while, is so for both. Reported are
// the medians of all turns, and of the ratios the quartiles too.
//
// Redis gets a core of its own where there is taskset: on a core that both share,
// it is the scheduler that is measured.
//
// Every claim is the first of a subject, which is new to Redis.
func BenchmarkOperations(b *testing.B) {
	for _, connections := range []int{1, 64} {
		b.Run(fmt.Sprint("connections=", connections), func(b *testing.B) {
			server := startServer(b)
			ownCore(b, server.PID())
			client := server.client(func(o *redis.Options) {
				o.PoolSize, o.MinIdleConns = connections, connections
			})
			store := newStore(b, client)
			ctx := context.Background()
			each := max(10, 50/connections) // of one connection in one turn
			batch := each * connections
			claims := make([]midhook.Claim, batch)
			turn := func(do func(c midhook.Claim) error) float64 {
				var all sync.WaitGroup
				start := time.Now()
				for own := range slices.Chunk(claims, each) {
					all.Go(func() {
						for _, c := range own {
							if err := do(c); err != nil {
								b.Error(err)
								return
							}
						}
					})
				}
				all.Wait()
				return float64(time.Since(start)) / float64(batch)
			}
			ping := func(midhook.Claim) error { return client.Ping(ctx).Err() }
			operations := []struct {
				name string
				do   func(c midhook.Claim) error
			}{
				{"acquire", func(c midhook.Claim) error { _, err := store.Acquire(ctx, c); return err }},
				{"finish", func(c midhook.Claim) error { return store.Finish(ctx, c, 24*time.Hour) }},
			}
			var pings []float64
			took, ratios := make([][]float64, len(operations)), make([][]float64, len(operations))
			subjects := 0
			round := func() {
				for i := range claims {
					subjects++
					id := fmt.Sprintf("%064d", subjects)
					claims[i] = midhook.Claim{Key: id, Subject: id, Stage: 40, Owner: id[:26], Lease: 32 * time.Second}
				}
				before := turn(ping)
				for i, operation := range operations {
					t := turn(operation.do)
					after := turn(ping)
					pings = append(pings, after)
					took[i] = append(took[i], t)
					ratios[i] = append(ratios[i], t/((before+after)/2))
					before = after
				}
			}
			round() // connects, and has the scripts loaded
			pings = nil
			clear(took)
			clear(ratios)
			for b.Loop() {
				round()
			}
			quantile := func(of []float64, q float64) float64 {
				slices.Sort(of)
				return of[int(q*float64(len(of)))]
			}
			b.ReportMetric(quantile(pings, 0.5), "ping-ns")
			for i, operation := range operations {
				b.ReportMetric(quantile(took[i], 0.5), operation.name+"-ns")
				b.ReportMetric(quantile(ratios[i], 0.25), operation.name+"/ping-25%")
				b.ReportMetric(quantile(ratios[i], 0.5), operation.name+"/ping")
				b.ReportMetric(quantile(ratios[i], 0.75), operation.name+"/ping-75%")
			}
			b.ReportMetric(0, "ns/op") // of a round of everything: says nothing
		})
	}
}

// ownCore leaves the first core to a process, and the others to this one.
func ownCore(b *testing.B, pid int) {
	last := runtime.NumCPU() - 1
	pin := func(cores string, pid int) {
		if out, err := exec.Command("taskset", "-acp", cores, strconv.Itoa(pid)).CombinedOutput(); err != nil {
			b.Logf("not pinned to a core: %v %s", err, out)
		}
	}
	if last < 1 {
		b.Log("one core for both: the ratios are too high")
		return
	}
	pin("0", pid)
	pin(fmt.Sprintf("1-%d", last), os.Getpid())
	b.Cleanup(func() { pin(fmt.Sprintf("0-%d", last), os.Getpid()) })
}

// BenchmarkMemory reports what Redis' memory grows by for each transaction that was
// handled, with its hash table's part, and what each further event of one takes.
func BenchmarkMemory(b *testing.B) {
	const transactions = 10000
	for _, events := range []int{1, 2, 4} {
		b.Run(fmt.Sprint("events=", events), func(b *testing.B) {
			ctx := context.Background()
			client := startServer(b).client()
			store := newStore(b, client)
			used := func() int64 {
				info := client.InfoMap(ctx, "memory").Item("Memory", "used_memory")
				bytes, err := strconv.ParseInt(info, 10, 64)
				if err != nil {
					b.Fatal(err)
				}
				return bytes
			}
			for b.Loop() {
				client.FlushDB(ctx)
				before := used()
				for i := range transactions * events {
					c := midhook.Claim{
						Key: fmt.Sprint("event ", i), Subject: fmt.Sprint("transaction ", i/events), Stage: 40, Owner: fmt.Sprint(i), Lease: time.Minute,
					}
					if _, err := store.Acquire(ctx, c); err != nil {
						b.Fatal(err)
					}
					if err := store.Finish(ctx, c, 24*time.Hour); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(used()-before)/transactions, "B/transaction")
			}
			b.ReportMetric(0, "ns/op") // of filling the server: says nothing
		})
	}
}

// BenchmarkServer reports the processor time that Redis takes for an operation,
// the network's part included, which does not depend on how busy the machine is:
// for a new event that is acquired and finished, and for a duplicate, beside as
// many handled events of the same transaction.
func BenchmarkServer(b *testing.B) {
	for _, beside := range []int{0, 1, 4, 1000} {
		b.Run(fmt.Sprint("beside=", beside), func(b *testing.B) {
			ctx := context.Background()
			client := startServer(b).client()
			store := newStore(b, client)
			processor := func() (seconds float64) {
				for _, name := range []string{"used_cpu_user", "used_cpu_sys"} {
					part, err := strconv.ParseFloat(client.InfoMap(ctx, "cpu").Item("CPU", name), 64)
					if err != nil {
						b.Fatal(err)
					}
					seconds += part
				}
				return seconds
			}
			handle := func(c midhook.Claim) {
				if state, err := store.Acquire(ctx, c); err != nil || state != midhook.Acquired {
					b.Fatal(state, err)
				}
				if err := store.Finish(ctx, c, 24*time.Hour); err != nil {
					b.Fatal(err)
				}
			}
			claims := make([]midhook.Claim, min(500, 20000/max(1, beside)))
			transactions := 0
			var fresh, duplicate float64
			for b.Loop() {
				for i := range claims {
					transactions++
					id := fmt.Sprint("transaction ", transactions)
					claims[i] = midhook.Claim{Key: id, Subject: id, Stage: 40, Owner: id, Lease: time.Minute}
					for event := range beside {
						other := claims[i]
						other.Key = fmt.Sprint(id, " event ", event)
						other.Owner = other.Key
						handle(other)
					}
				}
				start := processor()
				for _, c := range claims {
					handle(c)
				}
				middle := processor()
				for _, c := range claims {
					if state, err := store.Acquire(ctx, c); err != nil || state != midhook.Done {
						b.Fatal(state, err)
					}
				}
				fresh, duplicate = fresh+middle-start, duplicate+processor()-middle
			}
			b.ReportMetric(1e6*fresh/float64(transactions), "µs/new-event")
			b.ReportMetric(1e6*duplicate/float64(transactions), "µs/duplicate")
			b.ReportMetric(0, "ns/op")
		})
	}
}
