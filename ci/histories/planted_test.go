package histories

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/midhook/midhook"
	"github.com/midhook/midhook/internal/lives"
)

// planted is a store with a defect.
type planted struct {
	midhook.Store
	defect string
}

func (s planted) Acquire(ctx context.Context, c midhook.Claim) (midhook.ClaimState, error) {
	state, err := s.Store.Acquire(ctx, c)
	switch {
	case s.defect == "everybody owns" && err == nil && state != midhook.Done:
		return midhook.Acquired, nil
	case s.defect == "marks at once" && state == midhook.Acquired:
		return state, s.Store.Finish(ctx, c, time.Hour)
	case s.defect == "errors tell" && err == nil && state == midhook.Acquired:
		return 0, fmt.Errorf("no connection to redis://:%s@redis", storePassword)
	}
	return state, err
}

func (s planted) Finish(ctx context.Context, c midhook.Claim, keep time.Duration) error {
	if s.defect == "marks nothing" {
		return s.Store.Release(ctx, c)
	}
	return s.Store.Finish(ctx, c, keep)
}

// Rule: a store that breaks the contract is found.
func TestFaultHistoriesFindDefects(t *testing.T) {
	if testing.Short() {
		t.Skip("histories with processes are not short")
	}
	sqlite := backendNamed("SQLite")
	settlement := [][]lives.Change{{{Status: "settlement", Code: "200"}}}
	visits := []visit{{Patience: 10 * time.Second}, {To: 1, Patience: 10 * time.Second}}
	for defect, c := range map[string]struct {
		ordeal
		says string
	}{
		"everybody owns": {ordeal{
			Transactions: [][]lives.Change{{{Status: "settlement", Code: "200"}, {Status: "refund", Code: "200", Refund: "154600.00"}}},
			Fates:        []fate{{Takes: time.Second}, {Takes: time.Second}}, Visits: visits,
		}, "run at once"},
		"marks at once": {ordeal{Transactions: settlement, Fates: []fate{{Ends: "error"}}, Visits: visits}, "without a successful run"},
		"marks nothing": {ordeal{Transactions: settlement, Visits: visits}, "runs again"},
		"errors tell":   {ordeal{Transactions: settlement, Visits: visits}, "came out"},
	} {
		t.Run(defect, func(t *testing.T) {
			t.Parallel()
			sqlite := sqlite
			sqlite.defect = defect
			l := startLane(t, sqlite)
			l.patience = 3 * lease
			problems := l.play(t.Context(), c.ordeal)
			require.Contains(t, strings.Join(problems, "\n"), c.says)
		})
	}
}
