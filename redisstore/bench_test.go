package redisstore_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/midhook/midhook"
)

// BenchmarkOperations measures operations beside a bare PING of the same client,
// in turns, so that a busy machine is so for both: ns for each operation and how
// many bare round trips that is, in the median round.
func BenchmarkOperations(b *testing.B) {
	for _, connections := range []int{1, 64} {
		b.Run(fmt.Sprint("connections=", connections), func(b *testing.B) {
			client := startServer(b).client(func(o *redis.Options) {
				o.PoolSize, o.MinIdleConns = connections, connections
			})
			store := newStore(b, client)
			ctx := context.Background()
			batch := max(100, 20*connections)
			claim := func(round, i int) midhook.Claim {
				id := fmt.Sprint(round, " ", i)
				return midhook.Claim{Event: id + " settlement", Subject: id, Stage: 40, Owner: "owner", Lease: 32 * time.Second}
			}
			phases := []struct {
				name string
				do   func(round, i int) error
			}{
				{"ping", func(int, int) error { return client.Ping(ctx).Err() }},
				{"acquire", func(round, i int) error { _, err := store.Acquire(ctx, claim(round, i)); return err }},
				{"finish", func(round, i int) error { return store.Finish(ctx, claim(round, i), 24*time.Hour) }},
			}
			took := make([][]time.Duration, len(phases))
			rounds := 0
			play := func() {
				for p, phase := range phases {
					var all sync.WaitGroup
					start := time.Now()
					for c := range connections {
						all.Go(func() {
							for i := range batch / connections {
								if err := phase.do(rounds, c*batch+i); err != nil {
									b.Error(err)
									return
								}
							}
						})
					}
					all.Wait()
					took[p] = append(took[p], time.Since(start))
				}
				rounds++
			}
			play() // connects, and has the scripts loaded
			clear(took)
			for b.Loop() {
				play()
			}
			median := func(p int) float64 {
				slices.Sort(took[p])
				return float64(took[p][len(took[p])/2]) / float64(batch)
			}
			for p, phase := range phases {
				b.ReportMetric(median(p), phase.name+"-ns")
				if p > 0 {
					b.ReportMetric(median(p)/median(0), phase.name+"/ping")
				}
			}
			b.ReportMetric(0, "ns/op") // of a batch of everything: says nothing
		})
	}
}
