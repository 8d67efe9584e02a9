package main

import (
	"fmt"
	"time"

	"github.com/midhook/midhook/ci/loadkit"
)

// loopback measures what a server does in its own process on one core, with the load
// from this process on the other.
func loopback(pairs int, lasts time.Duration) {
	const connections = 16
	names := []string{"midhook", "by hand", "empty"}
	perSecond, cpu := map[string][]float64{}, map[string][]time.Duration{}
	for range max(1, pairs/3) {
		for _, name := range names {
			f, err := trial{setup: setup{Handler: name}, kind: newEvents, connections: connections}.measure(lasts, new(loadkit.Latencies))
			fatal(err)
			if len(f.wrong) > 0 {
				fatal(fmt.Errorf("%s answered %v", name, f.wrong))
			}
			perSecond[name] = append(perSecond[name], f.perSecond)
			cpu[name] = append(cpu[name], f.cpu)
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
