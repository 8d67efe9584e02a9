package sqlstore

import (
	"context"
	"database/sql"
	"testing"
	"testing/synctest"
	"time"
)

// purging is an engine that can do nothing but purge.
type purging struct {
	engine
	begun int
	lasts time.Duration
	ended error // of the context of the latest purge, when it was through
}

func (p *purging) purge(ctx context.Context, _ *sql.DB) (int64, bool, error) {
	p.begun++
	select {
	case <-time.After(p.lasts):
	case <-ctx.Done():
	}
	p.ended = ctx.Err()
	return 0, false, p.ended
}

// A process purges once in each interval, never twice at once, and no purge lasts for
// longer than a minute.
func TestPurgeIfDue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &purging{lasts: time.Second}
		s := &Store{engine: p, purgeEvery: 10 * time.Minute, epoch: time.Now()}
		after := func(pause time.Duration, begun int) {
			t.Helper()
			time.Sleep(pause)
			s.purgeIfDue()
			s.purgeIfDue()
			synctest.Wait()
			if p.begun != begun {
				t.Errorf("%d purges have begun instead of %d", p.begun, begun)
			}
		}
		after(0, 1)
		after(5*time.Minute, 1)
		after(6*time.Minute, 2)

		p.lasts = time.Hour
		after(10*time.Minute, 3)
		s.purgeEvery = time.Second
		after(30*time.Second, 3) // it is due, but the last one is not through
		s.purgeAt.Store(0)
		after(29*time.Second, 3)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if p.ended != context.DeadlineExceeded {
			t.Error("a purge lasts for longer than a minute")
		}
		after(0, 4)
		time.Sleep(time.Hour)

		s.purgeEvery = 0
		after(time.Hour, 4)
	})
}
