package midhooktest

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/midhook/midhook"
)

// plantedStore is a store of its own kind with at most one bug.
type plantedStore struct {
	bug string

	mu       sync.Mutex
	events   map[string]*plantedEvent
	subjects map[string]*plantedSubject
	ever     map[string]bool // events that were acquired, by their owners
	finished int
}

type plantedEvent struct {
	key, owner, subject string
	before, former      string // whose claim was taken over, and from which event it has moved
	stage               int
	began, ends         time.Time
	lease               time.Duration // or keep
	done, released      bool
}

type plantedSubject struct {
	holder, holdOwner string
	holdEnds          time.Time
	highest           int
	stageEnds         time.Time
}

func newPlanted(bug string) *plantedStore {
	return &plantedStore{bug: bug, events: map[string]*plantedEvent{}, subjects: map[string]*plantedSubject{}, ever: map[string]bool{}}
}

// has reports whether the store has one of these bugs.
func (s *plantedStore) has(bugs ...string) bool { return slices.Contains(bugs, s.bug) }

// gap lets others in between a question and what depends on its answer; those of a
// bug that ends in "with a pause" are let in for certain.
func (s *plantedStore) gap(bug string) {
	if s.has(bug, bug+" with a pause") {
		s.mu.Unlock()
		if s.bug != bug {
			time.Sleep(time.Microsecond)
		}
		s.mu.Lock()
	}
}

// enter locks the store, and reads the clock and the key of an event.
func (s *plantedStore) enter(ctx context.Context, operation string, c *midhook.Claim) (now time.Time, leave func(*error), err error) {
	if s.has("distant") {
		time.Sleep(2 * time.Millisecond)
	}
	switch {
	case s.has("Acquire fails with the wrong context") && operation == "Acquire" && ctx.Err() != nil:
		return now, nil, midhook.ErrNotOwner
	case s.has("context ignored by "+operation, "context asked after "+operation):
	case ctx.Err() != nil:
		return now, nil, ctx.Err()
	}
	if s.has("key is event and subject") {
		c.Key += c.Subject
	}
	if s.has("one subject for all") && c.Subject != "" {
		c.Subject = "one"
	}
	if s.has("empty subject is a subject") && c.Subject == "" {
		c.Subject = "empty"
	}
	s.mu.Lock()
	return time.Now(), func(err *error) {
		s.mu.Unlock()
		if s.has("context asked after "+operation) && ctx.Err() != nil {
			*err = ctx.Err()
		}
	}, nil
}

// after is when d has passed.
func (s *plantedStore) after(now time.Time, d time.Duration, what string) time.Time {
	switch {
	case s.has("up to a second late"):
		now = now.Add(900 * time.Millisecond)
	case s.has("times overflow"):
		return time.Unix(0, now.UnixNano()+int64(d))
	case s.has("never expires"):
		d = 1000 * day
	}
	for _, limit := range plantedLimits {
		if s.has(what + " of at most " + limit.String()) {
			d = min(d, limit)
		}
	}
	return now.Add(d)
}

var plantedLimits = []time.Duration{time.Second, 10 * time.Second, 30 * time.Second, time.Hour, day, 30 * day}

func (s *plantedStore) subject(c midhook.Claim) *plantedSubject {
	if c.Subject == "" {
		return &plantedSubject{}
	}
	if s.subjects[c.Subject] == nil {
		s.subjects[c.Subject] = &plantedSubject{}
	}
	return s.subjects[c.Subject]
}

// others calls f for the other events of a subject.
func (s *plantedStore) others(c midhook.Claim, f func(*plantedEvent)) {
	for _, e := range s.events {
		if e.subject == c.Subject && e.key != c.Key && c.Subject != "" {
			f(e)
		}
	}
}

func (s *plantedStore) Acquire(ctx context.Context, c midhook.Claim) (state midhook.ClaimState, err error) {
	now, leave, err := s.enter(ctx, "Acquire", &c)
	if err != nil {
		return 0, err
	}
	defer leave(&err)
	switch {
	case s.has("unexpected error"):
		return 0, fmt.Errorf("connection refused")
	case s.has("no answer"):
		return 0, nil
	case s.has("empty event refused") && c.Key == "":
		return 0, fmt.Errorf("empty key")
	case s.has("events and subjects share names") && s.subjects[c.Key] != nil && s.subjects[c.Key].highest > 0:
		return midhook.Done, nil
	}
	e, sub := s.events[c.Key], s.subject(c)
	lower := s.superseded(c, sub, now)
	s.gap("stage not atomic")
	held := sub.holder != "" && sub.holder != c.Key && sub.holdOwner != c.Owner && (now.Before(sub.holdEnds) || s.has("hold never ends"))
	if s.has("same owner is never held") && sub.holdOwner == c.Owner {
		held = false
	}
	if s.has("takeover ignores the hold") && e != nil && !e.done || s.has("lower stages are never busy") && lower ||
		s.has("stage 0 is never busy") && c.Stage <= 0 || s.has("never busy") {
		held = false
	}
	switch {
	case s.has("superseded before done") && lower, s.has("superseded before in flight") && lower && e != nil && !e.done && e.owner != c.Owner,
		s.has("superseded before busy") && lower && e == nil:
		return midhook.Superseded, nil
	case s.has("busy before done") && held, s.has("busy before in flight") && held && (e == nil || !e.done),
		s.has("busy for events without a subject") && c.Subject == "" && s.events["none"] != nil && s.events["none"].owner != c.Owner:
		return midhook.Busy, nil
	}
	if s.has("alternating Acquire forgets") && c.Alternates {
		s.forget(c, sub)
	}
	if s.has("asked holds") && sub.holder == "" && c.Subject != "" {
		sub.holder, sub.holdOwner, sub.holdEnds = "asked", c.Owner, now.Add(c.Lease)
	}
	former := s.claimOf(c)
	if e != nil && e.done && (now.Before(e.ends) || s.has("keep ignored")) && !(s.has("move takes what is done") && former != nil) {
		if s.has("asking lengthens the keep") {
			e.ends = now.Add(e.lease)
		}
		if !s.has("owner acquires what it finished") || e.owner != c.Owner {
			return midhook.Done, nil
		}
	}
	if s.bug == "done and claim apart" || s.bug == "done and claim apart with a pause" {
		s.gap("done and claim apart")
		if e = s.events[c.Key]; e != nil && e.done { // it was not done when it was asked
			e = nil
		}
	}
	s.gap("Acquire not atomic")
	if e != nil {
		s.gap("take-over not atomic")
	}
	live := e != nil && !e.done && !e.released
	lasts := live && (now.Before(e.ends)) && !s.has("never in flight")
	own := live && e.owner == c.Owner && !s.has("renew refused")
	if s.has("empty owner never holds") && live && e.owner == "" {
		lasts, own = false, false
	}
	if own && !(s.has("renewal superseded") && lower) && !(s.has("renewal is busy") && held) {
		if !(s.has("renew does not lengthen") || s.has("late renewal does not lengthen") && !lasts) {
			e.ends = s.after(now, c.Lease, "renewal")
		}
		if s.has("renewal holds") || s.has("late renewal holds") && !lasts {
			sub.holder, sub.holdOwner, sub.holdEnds = c.Key, c.Owner, e.ends
		}
		if s.has("renewal shortens the hold") && sub.holder == c.Key && e.ends.Before(sub.holdEnds) {
			sub.holdEnds = e.ends
		}
		for _, o := range s.events {
			if s.has("a short lease cuts others") && o.subject == c.Subject || s.has("renewal renews all of the owner") && o.owner == c.Owner && !o.done {
				o.ends = minTime(o.ends, e.ends)
			}
		}
		return midhook.Acquired, nil
	}
	switch {
	case lasts && !own && !(s.has("move takes what is in flight") && former != nil), s.has("move to lapsed refused") && live && former != nil && !own:
		if s.has("asking lengthens the lease") {
			e.ends = now.Add(e.lease)
		}
		return midhook.InFlight, nil
	case former != nil && !s.has("no move") && !(s.has("move superseded") && lower) && !(s.has("move without hold is busy") && held):
		return s.move(c, sub, former, now), nil
	}
	s.gap("hold not atomic")
	if held {
		if s.has("asking lengthens the hold") {
			sub.holdEnds = now.Add(longEnough)
		}
		if s.has("busy is claimed") {
			s.events[c.Key] = &plantedEvent{key: c.Key, owner: c.Owner, subject: c.Subject}
		}
		return midhook.Busy, nil
	}
	if lower && !(e != nil && s.has("lapsed claims not superseded")) {
		if s.has("superseded is claimed") {
			s.events[c.Key] = &plantedEvent{key: c.Key, owner: c.Owner, subject: c.Subject, ends: now.Add(c.Lease)}
		}
		if s.has("superseded drops the lapsed claim") {
			delete(s.events, c.Key)
		}
		return midhook.Superseded, nil
	}
	s.claim(c, sub, e, now)
	return midhook.Acquired, nil
}

func minTime(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// claimOf returns the other event of the subject that an owner has in flight.
func (s *plantedStore) claimOf(c midhook.Claim) (former *plantedEvent) {
	for _, e := range s.events {
		subject := e.subject == c.Subject && c.Subject != "" || s.has("claims move between subjects") && c.Key[:min(len(c.Key), 26)] == e.key[:min(len(e.key), 26)] ||
			s.has("claims without a subject move") && c.Subject == "" && e.subject == ""
		owner := e.owner == c.Owner || s.has("taken claims move") && e.before == c.Owner && c.Owner != ""
		if subject && owner && e.key != c.Key && !e.released && (!e.done || s.has("finished claims move")) {
			former = e
		}
	}
	if former != nil && s.has("lapsed claims do not move") && !time.Now().Before(former.ends) {
		return nil
	}
	return former
}

func (s *plantedStore) move(c midhook.Claim, sub *plantedSubject, former *plantedEvent, now time.Time) midhook.ClaimState {
	if s.has("move once") && former.former != "" {
		return midhook.Busy
	}
	moved := &plantedEvent{key: c.Key, owner: c.Owner, subject: c.Subject, former: former.key, stage: c.Stage, began: now, lease: c.Lease, ends: s.after(now, c.Lease, "moved lease")}
	if s.has("move keeps the lease") {
		moved.ends = former.ends
	}
	if s.has("moved claim has its first stage") {
		moved.stage = former.stage
	}
	if s.has("move does not take over") && s.events[c.Key] != nil {
		moved.owner = s.events[c.Key].owner
	}
	if s.has("move forgets the subject") {
		s.others(c, func(o *plantedEvent) { delete(s.events, o.key) })
	}
	s.events[c.Key] = moved
	switch {
	case s.has("move leaves the former"):
	case s.has("move finishes the former"):
		former.done, former.ends = true, now.Add(longEnough)
	default:
		delete(s.events, former.key)
		if s.has("move not atomic", "move not atomic with a pause") {
			before := *sub
			delete(s.events, c.Key)
			sub.holder = ""
			s.gap("move not atomic")
			s.events[c.Key] = moved
			sub.holder, sub.holdOwner, sub.holdEnds = before.holder, before.holdOwner, before.holdEnds
		}
	}
	if s.has("move leaves its stage") {
		s.reach(midhook.Claim{Subject: c.Subject, Stage: former.stage}, sub, now, longEnough)
	}
	switch {
	case s.has("move takes the hold"), s.has("move holds anew") && sub.holder == former.key:
		sub.holder, sub.holdOwner, sub.holdEnds = c.Key, c.Owner, s.after(now, c.Lease, "hold")
	case s.has("move loses the hold") && sub.holder == former.key:
		sub.holder = ""
	case s.has("hold does not move"):
	case sub.holder == former.key:
		sub.holder = c.Key
	}
	return midhook.Acquired
}

func (s *plantedStore) claim(c midhook.Claim, sub *plantedSubject, old *plantedEvent, now time.Time) {
	e := &plantedEvent{key: c.Key, owner: c.Owner, subject: c.Subject, stage: c.Stage, began: now, lease: c.Lease, ends: s.after(now, c.Lease, "lease")}
	switch {
	case s.has("expires early"):
		e.ends = now.Add(c.Lease / 2)
	case s.has("same lease for all"):
		e.ends = now.Add(min(soon, c.Lease))
	}
	if old != nil && old.owner != c.Owner {
		e.before = old.owner
	}
	if s.has("unfinished supersedes") {
		s.reach(c, sub, now, c.Lease)
	}
	if s.has("eviction of what is in flight") && len(s.events) == 200 {
		clear(s.events)
	}
	if s.has("a short lease cuts others") {
		s.others(c, func(o *plantedEvent) { o.ends = minTime(o.ends, e.ends) })
	}
	if s.has("a long lease lengthens others") {
		s.others(c, func(o *plantedEvent) { o.ends = now.Add(max(o.ends.Sub(now), c.Lease/50)) })
	}
	s.events[c.Key] = e
	if c.Subject != "" {
		takeover := old != nil && !old.done
		again := c.Key + " " + c.Owner
		switch {
		case s.has("takeover does not hold") && takeover, s.has("stage 0 does not hold") && c.Stage <= 0,
			s.has("alternating does not hold") && c.Alternates, s.has("held once only") && s.ever[again]:
			sub.holder = ""
		default:
			sub.holder, sub.holdOwner, sub.holdEnds = c.Key, c.Owner, s.after(now, c.Lease, "hold")
			if s.has("same hold for all") {
				sub.holdEnds = now.Add(min(soon, c.Lease))
			}
		}
		s.ever[again] = true
	}
	if s.has("a hold is for all subjects") {
		for _, o := range s.subjects {
			if o != sub {
				o.holder, o.holdOwner, o.holdEnds = c.Key, c.Owner, now.Add(soon)
			}
		}
	}
	if s.has("busy for events without a subject") && c.Subject == "" {
		s.events["none"] = e
	}
}

func (s *plantedStore) superseded(c midhook.Claim, sub *plantedSubject, now time.Time) bool {
	staged := c.Stage > 0 || s.has("stage 0 superseded") && c.Stage == 0 || s.has("negative stages superseded") && c.Stage < 0
	switch {
	case !staged || s.has("never superseded"):
		return false
	case !now.Before(sub.stageEnds) && !s.has("keep of the stage ignored", "keep ignored"):
		return false
	case s.has("stages of 16 bits"):
		return int16(c.Stage) < int16(sub.highest)
	}
	return c.Stage < sub.highest || s.has("equal stages superseded") && c.Stage == sub.highest
}

func (s *plantedStore) reach(c midhook.Claim, sub *plantedSubject, now time.Time, keep time.Duration) {
	if c.Subject == "" || c.Stage <= 0 && !s.has("stage 0 is remembered") {
		return
	}
	ends := s.after(now, keep, "stage")
	before := *sub
	switch {
	case !now.Before(sub.stageEnds), s.has("last stage is the highest", "stage 0 is remembered"):
		sub.highest, sub.stageEnds = c.Stage, ends
	case s.has("first stage stays the highest"):
	default:
		sub.highest = max(sub.highest, c.Stage)
		switch {
		case s.has("last finish sets the stage's keep"), c.Stage > before.highest && s.has("stage kept as long as its own event"):
			sub.stageEnds = ends
		case !s.has("stage kept as long as its own event") && ends.After(before.stageEnds):
			sub.stageEnds = ends
		}
	}
	if s.has("stages not atomic") {
		after := *sub
		*sub = before
		s.mu.Unlock()
		time.Sleep(time.Microsecond)
		s.mu.Lock()
		sub.highest, sub.stageEnds = after.highest, after.stageEnds
	}
}

// forget is what alternates has the subject forget.
func (s *plantedStore) forget(c midhook.Claim, sub *plantedSubject) {
	if s.has("nothing alternates") || c.Subject == "" && !s.has("events without a subject alternate") {
		return
	}
	forgotten := 0
	for key, e := range s.events {
		switch {
		case e.subject != c.Subject && !s.has("all subjects alternate"), key == c.Key && !s.has("own mark forgotten"),
			!e.done && !s.has("claims alternate"), s.has("one is forgotten") && forgotten == 1,
			s.has("long keeps are not forgotten") && e.lease > longEnough:
		default:
			delete(s.events, key)
			forgotten++
		}
	}
	if !s.has("stage does not alternate") {
		sub.highest = 0
		if !s.has("keep of the stage does not alternate") {
			sub.stageEnds = time.Time{}
		}
	}
	if s.has("alternating ends the hold") {
		sub.holder = ""
	}
}

func (s *plantedStore) Finish(ctx context.Context, c midhook.Claim, keep time.Duration) (err error) {
	now, leave, err := s.enter(ctx, "Finish", &c)
	if err != nil {
		return err
	}
	defer leave(&err)
	e, sub := s.events[c.Key], s.subject(c)
	if e != nil && e.done {
		switch {
		case e.owner == c.Owner && !s.has("finish not repeatable"), s.has("finish by anyone"):
			if s.has("finish again sets the keep") {
				e.ends = now.Add(keep)
			}
			if s.has("finish again sets the stage") {
				s.reach(c, sub, now, keep)
			}
			if s.has("finish again alternates") && c.Alternates {
				s.forget(c, sub)
				s.reach(c, sub, now, keep)
			}
			return nil
		case s.has("finish by a stale owner when done") && e.before == c.Owner:
			return nil
		}
		return midhook.ErrNotOwner
	}
	s.gap("Finish not atomic")
	if !s.owns(e, c) && !s.has("finish by anyone") {
		return midhook.ErrNotOwner
	}
	if e == nil {
		e = &plantedEvent{key: c.Key, began: now}
	}
	if s.has("late finish refused") && !now.Before(e.ends) {
		return midhook.ErrNotOwner
	}
	if (sub.holder == c.Key && !s.has("hold outlives finish")) || s.has("any finish ends the hold") {
		sub.holder = ""
	}
	handled := &plantedEvent{key: c.Key, owner: c.Owner, subject: c.Subject, before: e.before, lease: keep, done: true, ends: s.after(now, keep, "keep")}
	switch {
	case s.has("keep cut short"):
		keep /= 2
		handled.ends = now.Add(keep)
	case s.has("keep counted from the claim"):
		handled.ends = e.began.Add(keep)
	}
	if s.has("eviction of what is done") {
		if s.finished++; s.finished == 200 {
			clear(s.events)
		}
	}
	if s.has("256 events of a subject") {
		n := 0
		s.others(c, func(*plantedEvent) { n++ })
		s.others(c, func(o *plantedEvent) {
			if n >= 256 {
				delete(s.events, o.key)
				n--
			}
		})
	}
	s.events[c.Key] = handled
	if c.Alternates != s.has("what does not alternate forgets") {
		s.forget(c, sub)
	}
	if s.has("moved claim has its first stage") {
		c.Stage = e.stage
	}
	s.reach(c, sub, now, keep)
	s.others(c, func(o *plantedEvent) {
		switch {
		case s.has("finish shortens others' keeps") && o.done, s.has("finish shortens others' leases") && !o.done:
			o.ends = minTime(o.ends, handled.ends)
		case s.has("finish lengthens others' keeps") && o.done, s.has("finish lengthens others' leases") && !o.done:
			if handled.ends.After(o.ends) {
				o.ends = handled.ends
			}
		case s.has("finish forgets others' marks") && o.done, s.has("finish forgets others' claims") && !o.done:
			delete(s.events, o.key)
		}
	})
	return nil
}

// owns reports whether c's owner holds the claim.
func (s *plantedStore) owns(e *plantedEvent, c midhook.Claim) bool {
	if e == nil {
		return s.has("no owner is an empty one") && c.Owner == ""
	}
	return e.owner == c.Owner && (!e.released || s.has("release keeps the owner"))
}

func (s *plantedStore) Release(ctx context.Context, c midhook.Claim) (err error) {
	now, leave, err := s.enter(ctx, "Release", &c)
	if err != nil {
		return err
	}
	defer leave(&err)
	e, sub := s.events[c.Key], s.subject(c)
	if e != nil && e.done && s.has("release of what is finished") {
		delete(s.events, c.Key)
		return nil
	}
	if e != nil && e.done || !s.owns(e, c) && !s.has("release by anyone") {
		return midhook.ErrNotOwner
	}
	if s.has("late release refused") && !now.Before(e.ends) {
		return midhook.ErrNotOwner
	}
	s.gap("Release not atomic")
	if s.has("release does nothing") {
		return nil
	}
	if (sub.holder == c.Key && !s.has("hold outlives release")) || s.has("any release ends the hold") {
		sub.holder = ""
	}
	switch {
	case e != nil && s.has("release keeps the owner"):
		e.released = true
	case e != nil && e.before != "" && s.has("stale owner has it back"):
		s.events[c.Key] = &plantedEvent{key: c.Key, owner: e.before, subject: c.Subject}
	default:
		delete(s.events, c.Key)
	}
	if s.has("release forgets the stage") {
		sub.highest = 0
	}
	if s.has("alternating Release forgets") && c.Alternates {
		s.forget(c, sub)
	}
	for _, o := range s.events {
		if s.has("release forgets others' marks") && o.subject == c.Subject && o.done || s.has("release forgets others' claims") && o.subject == c.Subject && !o.done ||
			s.has("release of all the owner has") && o.owner == c.Owner && !o.done {
			delete(s.events, o.key)
		}
	}
	return nil
}
