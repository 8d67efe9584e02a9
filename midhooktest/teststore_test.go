package midhooktest

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/midhook/midhook"
)

// Rule: midhook's own store keeps the contract, in real time. newStore is called
// once for each subtest, and TestStore returns when all are through: what the
// caller closes then is not in use.
func TestTestStoreLRU(t *testing.T) {
	var mu sync.Mutex
	open, subtests := 0, map[string]bool{}
	TestStore(t, func(sub *testing.T) midhook.Store {
		mu.Lock()
		defer mu.Unlock()
		subtests[sub.Name()] = true
		open++
		sub.Cleanup(func() {
			mu.Lock()
			defer mu.Unlock()
			open--
		})
		return midhook.NewLRUStore(4096)
	})
	if open != 0 || len(subtests) != len(storeCases) {
		t.Errorf("%d subtests, of which %d still run, want %d and none", len(subtests), open, len(storeCases))
	}
}

// Rule: TestStore works inside a bubble, with one store for all cases.
func TestTestStoreInABubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		calls, shared := 0, midhook.NewLRUStore(4096)
		TestStore(t, func(got *testing.T) midhook.Store {
			calls++
			if got != t {
				t.Error("in a bubble newStore must get the t of TestStore")
			}
			return shared
		})
		if want := len(storeCases) + 1; calls != want { // one case compares two handles
			t.Errorf("newStore was called %d times for %d cases, want %d", calls, len(storeCases), want)
		}
	})
}

// Rule: the cases ask for nothing that only the LRU store has. Another correct
// store passes, also one at a distance that all cases share, and one whose clock
// has whole seconds.
func TestTestStoreAnother(t *testing.T) {
	distant := newModel("distant")
	TestStore(t, func(*testing.T) midhook.Store { return distant })
	for _, bug := range []string{"", "distant", "up to a second late"} {
		synctest.Test(t, func(t *testing.T) { TestStore(t, func(*testing.T) midhook.Store { return newModel(bug) }) })
	}
}

// brokenStore in the environment makes TestOfABrokenStore one.
const brokenStore = "MIDHOOKTEST_BROKEN_STORE"

// TestOfABrokenStore fails, when it is asked to by TestTestStoreReports.
func TestOfABrokenStore(t *testing.T) {
	bug := os.Getenv(brokenStore)
	if bug == "" {
		t.Skip("it is TestTestStoreReports that runs this")
	}
	t.Run("real time", func(t *testing.T) {
		TestStore(t, func(*testing.T) midhook.Store { return newModel(bug) })
	})
	t.Run("bubble", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			TestStore(t, func(*testing.T) midhook.Store { return newModel(bug) })
		})
	})
}

// Rule: a case that fails fails the test, and says which rule is broken. A
// process of its own is asked, for only there may a test fail.
func TestTestStoreReports(t *testing.T) {
	cmd := exec.Command(os.Args[0], "-test.run=^TestOfABrokenStore$/^(bubble|real_time)$/^store$/^stage-", "-test.timeout=60s")
	cmd.Env = append(os.Environ(), brokenStore+"=equal stages superseded")
	out, err := cmd.CombinedOutput()
	if _, failed := err.(*exec.ExitError); !failed {
		t.Fatalf("the test of a broken store passes (%v):\n%s", err, out)
	}
	for _, want := range []string{
		"--- FAIL: TestOfABrokenStore/real_time/store/stage-equal ",
		"--- FAIL: TestOfABrokenStore/bubble ",
		`Acquire of event "…reversal" of subject "… subject", stage 40, by owner "b": superseded, want acquired`,
		"The rule: an equal stage is not superseded\n",
	} {
		if !strings.Contains(string(out), want) {
			t.Errorf("there is no %q in\n%s", want, out)
		}
	}
	if n := strings.Count(string(out), "The rule: an equal stage is not superseded\n"); n != 2 {
		t.Errorf("the rule is printed %d times, want once in real time and once in the bubble:\n%s", n, out)
	}
}

// storeBugs are ways to break the contract, and the cases that must find each.
var storeBugs = map[string][]string{
	"never in flight":                      {"acquire", "empty-event"},
	"owner acquires what it finished":      {"done"},
	"release does nothing":                 {"release"},
	"release keeps the owner":              {"release-again"},
	"release of what is finished":          {"release-finished"},
	"release by anyone":                    {"stranger", "stale-owner"},
	"finish not repeatable":                {"finish-again"},
	"finish by anyone":                     {"finish-again-by-another", "stranger", "stale-owner"},
	"finish by a stale owner when done":    {"stale-owner-done"},
	"stale owner has it back":              {"stale-owner-released"},
	"key is event and subject":             {"events-apart"},
	"events and subjects share names":      {"subjects-apart"},
	"never expires":                        {"lease", "late-finish", "race-take-over"},
	"expires early":                        {"lease"},
	"same lease for all":                   {"lease"},
	"asking lengthens the lease":           {"lease"},
	"renew refused":                        {"renew"},
	"renew does not lengthen":              {"renew", "renew-late"},
	"late renewal does not lengthen":       {"renew-late"},
	"late finish refused":                  {"late-finish", "superseded-lapsed"},
	"eviction of what is in flight":        {"crowd"},
	"eviction of what is done":             {"crowd"},
	"never superseded":                     {"superseded"},
	"superseded is claimed":                {"superseded-unclaimed"},
	"superseded before done":               {"superseded-order"},
	"superseded before in flight":          {"superseded-order"},
	"renewal superseded":                   {"superseded-renewal"},
	"lapsed claims not superseded":         {"superseded-lapsed"},
	"superseded drops the lapsed claim":    {"superseded-lapsed"},
	"equal stages superseded":              {"stage-equal"},
	"first stage stays the highest":        {"stage-higher"},
	"stages of 16 bits":                    {"stage-higher"},
	"unfinished supersedes":                {"stage-unfinished"},
	"last stage is the highest":            {"stage-lowered"},
	"stage 0 superseded":                   {"stage-none"},
	"negative stages superseded":           {"stage-none"},
	"stage 0 is remembered":                {"stage-none-finished"},
	"empty subject is a subject":           {"subject-none"},
	"one subject for all":                  {"subject-other"},
	"keep ignored":                         {"keep", "keep-stage"},
	"keep cut short":                       {"keep", "keep-stage"},
	"keep counted from the claim":          {"keep"},
	"asking lengthens the keep":            {"keep"},
	"keep of the stage ignored":            {"keep-stage"},
	"stage kept as long as its own event":  {"keep-stage-lengthened"},
	"last finish sets the stage's keep":    {"keep-stage-shortened"},
	"times overflow":                       {"for-ever"},
	"context ignored by Acquire":           {"context-acquire"},
	"context asked after Acquire":          {"context-acquire"},
	"context ignored by Finish":            {"context-finish"},
	"context asked after Finish":           {"context-finish"},
	"context ignored by Release":           {"context-release"},
	"context asked after Release":          {"context-release"},
	"Acquire not atomic":                   {"race-acquire", "race-take-over"},
	"take-over not atomic":                 {"race-take-over"},
	"Finish not atomic":                    {"race-finish"},
	"Release not atomic":                   {"race-release"},
	"stages not atomic":                    {"race-stage"},
	"empty event refused":                  {"empty-event"},
	"no owner is an empty one":             {"empty-owner"},
	"empty owner never holds":              {"empty-owner"},
	"unexpected error":                     {"acquire"},
	"no answer":                            {"acquire"},
	"Acquire fails with the wrong context": {"context-acquire"},
}

// keyBugs change keys, and each must be found in events, subjects and owners.
var keyBugs = map[string]struct {
	found  string
	change func(string) string
}{
	"cut at NUL":                  {"bytes", func(k string) string { k, _, _ = strings.Cut(k, "\x00"); return k }},
	"quotes dropped":              {"bytes", strings.NewReplacer("'", "", `"`, "").Replace},
	"backslash is an escape":      {"bytes", strings.NewReplacer(`\\`, `\`, `\0`, "\x00", `\n`, "\n").Replace},
	"percent is an escape":        {"bytes", strings.NewReplacer("%%", "%", "%00", "\x00").Replace},
	"hash tag only":               {"bytes", hashTag},
	"UTF-8 only":                  {"encoding", func(k string) string { return strings.ToValidUTF8(k, "\uFFFD") }},
	"Latin-1 read as UTF-8":       {"encoding", func(k string) string { return strings.ReplaceAll(k, "\xe9", "\u00e9") }},
	"lower case":                  {"case", strings.ToLower},
	"Unicode case":                {"case", func(k string) string { return strings.ToUpper(strings.ToLower(k)) }},
	"trailing space dropped":      {"space", func(k string) string { return strings.TrimRight(k, " ") }},
	"leading space dropped":       {"space", func(k string) string { return strings.TrimLeft(k, " ") }},
	"white space dropped":         {"space", strings.TrimSpace},
	"invisible letters dropped":   {"space", strings.NewReplacer("\u200b", "", "\ufeff", "", "\u00ad", "").Replace},
	"composed":                    {"unicode", strings.NewReplacer("e\u0301", "\u00e9", "A\u030a", "\u00c5", "\u212b", "\u00c5").Replace},
	"compatible":                  {"unicode", strings.NewReplacer("ﬁ", "fi", "１", "1", "²", "2").Replace},
	"accents dropped":             {"unicode", strings.NewReplacer("\u0301", "", "\u00e9", "e").Replace},
	"numbers":                     {"unicode", strings.NewReplacer("01", "1", "1.0", "1", "1e0", "1").Replace},
	"first 255 bytes":             {"long", func(k string) string { return k[:min(len(k), 255)] }},
	"first 8 KiB":                 {"long", func(k string) string { return k[:min(len(k), 8192)] }},
	"last 255 bytes":              {"long", func(k string) string { return k[max(0, len(k)-255):] }},
	"first and last 64 bytes":     {"long", func(k string) string { return k[:min(len(k), 64)] + k[max(0, len(k)-64):] }},
	"length and first 4096 bytes": {"long", func(k string) string { return fmt.Sprint(len(k), k[:min(len(k), 4096)]) }},
}

// hashTag is the part of a key that a Redis cluster hashes.
func hashTag(k string) string {
	if _, rest, ok := strings.Cut(k, "{"); ok {
		if tag, _, ok := strings.Cut(rest, "}"); ok && tag != "" {
			return tag
		}
	}
	return k
}

// Rule: each bug is found by the cases that are there for it, and each case is
// there for a bug: none passes whatever the store does.
func TestTestStoreFindsBugs(t *testing.T) {
	proven := map[string]bool{}
	find := func(bug, name string, newStore func() midhook.Store) {
		i := slices.IndexFunc(storeCases, func(c storeCase) bool { return c.name == name })
		if i < 0 {
			t.Fatalf("there is no case %q", name)
		}
		proven[name] = true
		synctest.Test(t, func(t *testing.T) {
			if err := storeCases[i].check(t.Context(), newStore, true); err == nil {
				t.Errorf("%s: case %s passes", bug, name)
			}
		})
	}
	for bug, names := range storeBugs {
		for _, name := range names {
			find(bug, name, func() midhook.Store { return newModel(bug) })
		}
	}
	for bug, b := range keyBugs {
		for _, role := range []string{"events", "subjects", "owners"} {
			find(bug, role+"-"+b.found, func() midhook.Store { return newRekeyed(role, b.change) })
		}
	}
	for _, c := range storeCases {
		if !proven[c.name] {
			t.Errorf("no bug proves that %s can fail", c.name)
		}
	}
}

// rekeyed is a correct store that changes the keys it gets.
type rekeyed struct {
	midhook.Store
	change func(*midhook.Claim)
}

func newRekeyed(role string, change func(string) string) midhook.Store {
	return &rekeyed{midhook.NewLRUStore(4096), func(c *midhook.Claim) {
		switch role {
		case "events":
			c.Key = change(c.Key)
		case "subjects":
			c.Subject = change(c.Subject)
		case "owners":
			c.Owner = change(c.Owner)
		}
	}}
}

func (s *rekeyed) Acquire(ctx context.Context, c midhook.Claim) (midhook.ClaimState, error) {
	s.change(&c)
	return s.Store.Acquire(ctx, c)
}

func (s *rekeyed) Finish(ctx context.Context, c midhook.Claim, keep time.Duration) error {
	s.change(&c)
	return s.Store.Finish(ctx, c, keep)
}

func (s *rekeyed) Release(ctx context.Context, c midhook.Claim) error {
	s.change(&c)
	return s.Store.Release(ctx, c)
}

// modelStore is the contract in its plainest form, with at most one bug.
type modelStore struct {
	bug string

	mu     sync.Mutex
	claims map[string]*modelClaim
	done   map[string]*modelDone
	stages map[string]*modelStage
}

type modelClaim struct {
	owner, before  string // whose claim was taken over
	began, expires time.Time
	released       bool
}

type modelDone struct {
	owner, before string
	keep          time.Duration
	expires       time.Time
}

type modelStage struct {
	stage   int
	expires time.Time
}

func newModel(bug string) *modelStore {
	return &modelStore{bug: bug, claims: map[string]*modelClaim{}, done: map[string]*modelDone{}, stages: map[string]*modelStage{}}
}

// has reports whether the store has one of these bugs.
func (s *modelStore) has(bugs ...string) bool { return slices.Contains(bugs, s.bug) }

// gap lets others in between a question and what depends on its answer.
func (s *modelStore) gap(bug string) {
	if s.has(bug) {
		s.mu.Unlock()
		time.Sleep(time.Microsecond)
		s.mu.Lock()
	}
}

// enter locks the store, and reads the clock and the key of an event.
func (s *modelStore) enter(ctx context.Context, operation string, c midhook.Claim) (now time.Time, event string, leave func() error, err error) {
	if s.has("distant") {
		time.Sleep(2 * time.Millisecond)
	}
	switch {
	case s.has("Acquire fails with the wrong context") && operation == "Acquire" && ctx.Err() != nil:
		return now, "", nil, midhook.ErrNotOwner
	case s.has("context ignored by "+operation, "context asked after "+operation):
	case ctx.Err() != nil:
		return now, "", nil, ctx.Err()
	}
	event = c.Key
	if s.has("key is event and subject") {
		event += c.Subject
	}
	s.mu.Lock()
	return time.Now(), event, func() error {
		s.mu.Unlock()
		if s.has("context asked after " + operation) {
			return ctx.Err()
		}
		return nil
	}, nil
}

// after is when d has passed.
func (s *modelStore) after(now time.Time, d time.Duration) time.Time {
	switch {
	case s.has("up to a second late"):
		now = now.Add(900 * time.Millisecond)
	case s.has("times overflow"):
		return time.Unix(0, now.UnixNano()+int64(d))
	}
	return now.Add(d)
}

func (s *modelStore) Acquire(ctx context.Context, c midhook.Claim) (state midhook.ClaimState, err error) {
	now, event, leave, err := s.enter(ctx, "Acquire", c)
	if err != nil {
		return 0, err
	}
	defer func() {
		if failed := leave(); failed != nil {
			state, err = 0, failed
		}
	}()
	switch {
	case s.has("unexpected error"):
		return 0, fmt.Errorf("connection refused")
	case s.has("no answer"):
		return 0, nil
	case s.has("empty event refused") && c.Key == "":
		return 0, fmt.Errorf("empty key")
	case s.has("superseded before done") && s.superseded(c, now):
		return midhook.Superseded, nil
	case s.has("events and subjects share names") && s.stages[event] != nil:
		return midhook.Done, nil
	}
	if d := s.done[event]; d != nil && (now.Before(d.expires) || s.has("keep ignored")) {
		if s.has("asking lengthens the keep") {
			d.expires = now.Add(d.keep)
		}
		if !s.has("owner acquires what it finished") || d.owner != c.Owner {
			return midhook.Done, nil
		}
	}
	held := s.claims[event]
	s.gap("Acquire not atomic")
	if held != nil {
		s.gap("take-over not atomic")
	}
	lasts := held != nil && !held.released && (now.Before(held.expires) || s.has("never expires")) && !s.has("never in flight")
	own := held != nil && !held.released && held.owner == c.Owner && !s.has("renew refused")
	if s.has("empty owner never holds") && held != nil && held.owner == "" {
		lasts, own = false, false
	}
	lower := s.superseded(c, now)
	switch {
	case lasts && !own && !(lower && s.has("superseded before in flight")):
		if s.has("asking lengthens the lease") {
			held.expires = now.Add(held.expires.Sub(held.began))
		}
		return midhook.InFlight, nil
	case lower && (!own || s.has("renewal superseded")) && !(held != nil && s.has("lapsed claims not superseded")):
		if s.has("superseded is claimed") {
			s.claims[event] = &modelClaim{owner: c.Owner, expires: now.Add(c.Lease)}
		}
		if s.has("superseded drops the lapsed claim") {
			delete(s.claims, event)
		}
		return midhook.Superseded, nil
	}
	if s.has("unfinished supersedes") {
		s.reach(c, now, c.Lease)
	}
	delete(s.done, event)
	next := &modelClaim{owner: c.Owner, began: now, expires: s.after(now, c.Lease)}
	switch {
	case own && (s.has("renew does not lengthen") || s.has("late renewal does not lengthen") && !lasts):
		next.expires = held.expires
	case s.has("expires early"):
		next.expires = now.Add(c.Lease / 2)
	case s.has("same lease for all"):
		next.expires = now.Add(min(soon, c.Lease))
	}
	if held != nil && held.owner != c.Owner {
		next.before = held.owner
	}
	if s.has("eviction of what is in flight") && len(s.claims) == 200 {
		clear(s.claims)
	}
	s.claims[event] = next
	return midhook.Acquired, nil
}

func (s *modelStore) subject(c midhook.Claim) string {
	if s.has("one subject for all") {
		return "one"
	}
	return c.Subject
}

func (s *modelStore) superseded(c midhook.Claim, now time.Time) bool {
	staged := c.Stage > 0 || s.has("stage 0 superseded") && c.Stage == 0 || s.has("negative stages superseded") && c.Stage < 0
	if !staged || c.Subject == "" && !s.has("empty subject is a subject") || s.has("never superseded") {
		return false
	}
	r := s.stages[s.subject(c)]
	if r == nil || !now.Before(r.expires) && !s.has("keep of the stage ignored", "keep ignored") {
		return false
	}
	if s.has("stages of 16 bits") {
		return int16(c.Stage) < int16(r.stage)
	}
	return c.Stage < r.stage || s.has("equal stages superseded") && c.Stage == r.stage
}

func (s *modelStore) reach(c midhook.Claim, now time.Time, keep time.Duration) {
	staged := c.Stage > 0 || s.has("stage 0 is remembered")
	if !staged || c.Subject == "" && !s.has("empty subject is a subject") {
		return
	}
	subject, expires := s.subject(c), s.after(now, keep)
	highest := modelStage{c.Stage, expires}
	if r := s.stages[subject]; r != nil && now.Before(r.expires) && !s.has("last stage is the highest", "stage 0 is remembered") {
		highest = modelStage{max(r.stage, c.Stage), r.expires}
		switch {
		case s.has("first stage stays the highest"):
			highest.stage = r.stage
		case s.has("last finish sets the stage's keep"), c.Stage > r.stage && s.has("stage kept as long as its own event"):
			highest.expires = expires
		case !s.has("stage kept as long as its own event") && expires.After(r.expires):
			highest.expires = expires
		}
	}
	s.gap("stages not atomic")
	s.stages[subject] = &highest
}

func (s *modelStore) Finish(ctx context.Context, c midhook.Claim, keep time.Duration) (err error) {
	now, event, leave, err := s.enter(ctx, "Finish", c)
	if err != nil {
		return err
	}
	defer func() {
		if failed := leave(); failed != nil {
			err = failed
		}
	}()
	if d := s.done[event]; d != nil {
		switch {
		case d.owner == c.Owner && !s.has("finish not repeatable"), s.has("finish by anyone"):
			return nil
		case s.has("finish by a stale owner when done") && d.before == c.Owner:
			return nil
		}
		return midhook.ErrNotOwner
	}
	held := s.claims[event]
	s.gap("Finish not atomic")
	if !s.owns(held, c) && !s.has("finish by anyone") {
		return midhook.ErrNotOwner
	}
	if held == nil {
		held = &modelClaim{began: now}
	}
	if s.has("late finish refused") && !now.Before(held.expires) {
		return midhook.ErrNotOwner
	}
	delete(s.claims, event)
	d := &modelDone{owner: c.Owner, before: held.before, keep: keep, expires: s.after(now, keep)}
	switch {
	case s.has("keep cut short"):
		keep /= 2
		d.expires = now.Add(keep)
	case s.has("keep counted from the claim"):
		d.expires = held.began.Add(keep)
	}
	if s.has("eviction of what is done") && len(s.done) == 200 {
		clear(s.done)
	}
	s.done[event] = d
	s.reach(c, now, keep)
	return nil
}

// owns reports whether c's owner holds the claim.
func (s *modelStore) owns(held *modelClaim, c midhook.Claim) bool {
	if held == nil {
		return s.has("no owner is an empty one") && c.Owner == ""
	}
	return held.owner == c.Owner && (!held.released || s.has("release keeps the owner"))
}

func (s *modelStore) Release(ctx context.Context, c midhook.Claim) (err error) {
	_, event, leave, err := s.enter(ctx, "Release", c)
	if err != nil {
		return err
	}
	defer func() {
		if failed := leave(); failed != nil {
			err = failed
		}
	}()
	if d := s.done[event]; d != nil && s.has("release of what is finished") {
		delete(s.done, event)
		return nil
	}
	held := s.claims[event]
	if !s.owns(held, c) && !s.has("release by anyone") {
		return midhook.ErrNotOwner
	}
	s.gap("Release not atomic")
	switch {
	case s.has("release does nothing"):
	case held != nil && s.has("release keeps the owner"):
		held.released = true
	case held != nil && held.before != "" && s.has("stale owner has it back"):
		s.claims[event] = &modelClaim{owner: held.before}
	default:
		delete(s.claims, event)
	}
	return nil
}
