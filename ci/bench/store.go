package main

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"strconv"
	"time"

	"github.com/midhook/midhook"
)

func handle(s midhook.Store, all []midhook.Claim) {
	ctx := context.Background()
	for _, c := range all {
		if state, err := s.Acquire(ctx, c); err != nil || state != midhook.Acquired {
			fatal(fmt.Errorf("acquire answered %v, %v", state, err))
		}
		fatal(s.Finish(ctx, c, 24*time.Hour))
	}
}

// store measures the default store by how many events it remembers: memory after as
// many have come and gone three times over, a collection with nothing else to mark,
// and acquire and finish of new events, each of which takes the place of another.
func store(pairs int) {
	const batch = 10_000
	sizes := []int{10_000, 65_536, 1_000_000}
	fmt.Printf("\nthe default store, full, one P\n  %10s %14s %21s %13s %18s\n", "events", "bytes an event", "CPU of a collection", "longest pause", "acquire and finish")
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	stores := make([]midhook.Store, len(sizes))
	each := make([][]time.Duration, len(sizes))
	for i, size := range sizes {
		before := heap()
		stores[i] = midhook.NewLRUStore(size)
		for range 4 {
			for at := 0; at < size; at += batch {
				handle(stores[i], fresh(batch))
			}
		}
		bytes := float64(heap()-before) / float64(size)
		cpu, pause := collection()
		fmt.Printf("  %10d %14.0f %21v %13v", size, bytes, cpu, pause)
		for range pairs {
			all := fresh(batch)
			began := cpuTime()
			handle(stores[i], all)
			each[i] = append(each[i], (cpuTime()-began)/batch)
		}
		fmt.Printf(" %18v\n", median(each[i]))
	}
	var small, large []time.Duration
	for range pairs { // in turn, for the ratio
		all := fresh(2 * batch)
		began := cpuTime()
		handle(stores[0], all[:batch])
		between := cpuTime()
		handle(stores[len(stores)-1], all[batch:])
		small, large = append(small, between-began), append(large, cpuTime()-between)
	}
	fmt.Printf("  acquire and finish, %d events against %d: %.2f\n", sizes[len(sizes)-1], sizes[0], median(ratios(large, small)))
	runtime.KeepAlive(stores)
}

var made int

// fresh are claims on events that were never claimed before.
func fresh(n int) []midhook.Claim {
	all := make([]midhook.Claim, n)
	for i := range all {
		made++
		number := strconv.Itoa(made)
		all[i] = midhook.Claim{Key: "event " + number, Subject: "transaction " + number, Stage: 40, Owner: "owner " + number, Lease: time.Minute}
	}
	return all
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// collection is the CPU time of a whole cycle of the garbage collector, and the longest
// time for which it stops the program in one of several.
func collection() (cpu, longest time.Duration) {
	const cycles = 9
	var times []time.Duration
	var m runtime.MemStats
	for range cycles {
		began := cpuTime()
		runtime.GC()
		times = append(times, cpuTime()-began)
	}
	runtime.ReadMemStats(&m)
	var pauses []uint64
	for i := range cycles {
		pauses = append(pauses, m.PauseNs[(int(m.NumGC)-1-i+256)%256])
	}
	return median(times), time.Duration(slices.Max(pauses))
}
