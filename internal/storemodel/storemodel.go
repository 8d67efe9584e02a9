// Package storemodel is the contract of midhook.Store in its plainest form.
package storemodel

import (
	"maps"
	"time"

	"github.com/midhook/midhook"
)

// Model is one subject with its events, at a time that it is told.
type Model struct {
	events    map[string]event
	holder    string // the key of the event whose owner holds the subject
	held      bool
	holdEnds  time.Duration
	highest   int
	stageEnds time.Duration
}

type event struct {
	owner   string
	ends    time.Duration // of the lease or the keep
	handled bool
}

// New returns a model of a subject that nobody has claimed.
func New() *Model { return &Model{events: map[string]event{}} }

// Clone returns a model that has a life of its own from now on.
func (m *Model) Clone() *Model {
	c := *m
	c.events = maps.Clone(m.events)
	return &c
}

// Acquire answers as a store would.
func (m *Model) Acquire(now time.Duration, c midhook.Claim) midhook.ClaimState {
	e, known := m.events[c.Key]
	if e.handled && now >= e.ends {
		known = false
	}
	claim := event{owner: c.Owner, ends: now + c.Lease}
	former := m.claimOf(c.Owner)
	switch {
	case known && e.handled:
		return midhook.Done
	case known && e.owner == c.Owner:
		m.events[c.Key] = claim
		return midhook.Acquired
	case known && now < e.ends:
		return midhook.InFlight
	case former != nil:
		m.end(c.Key)
		delete(m.events, *former)
		m.events[c.Key] = claim
		if m.holder == *former {
			m.holder = c.Key
		}
		return midhook.Acquired
	case m.held && m.holder != c.Key && now < m.holdEnds:
		return midhook.Busy
	case c.Stage > 0 && c.Stage < m.highest && now < m.stageEnds:
		return midhook.Superseded
	}
	m.events[c.Key] = claim
	m.holder, m.held, m.holdEnds = c.Key, true, claim.ends
	return midhook.Acquired
}

// claimOf returns the key of the event that an owner has in flight, or nil.
func (m *Model) claimOf(owner string) *string {
	for key, e := range m.events {
		if !e.handled && e.owner == owner {
			return &key
		}
	}
	return nil
}

// end ends whoever's claim there is on an event.
func (m *Model) end(key string) {
	delete(m.events, key)
	if m.holder == key {
		m.held = false
	}
}

// Finish answers as a store would.
func (m *Model) Finish(now time.Duration, c midhook.Claim, keep time.Duration) error {
	e, known := m.events[c.Key]
	switch {
	case !known || e.owner != c.Owner:
		return midhook.ErrNotOwner
	case e.handled:
		return nil
	}
	m.end(c.Key)
	if c.Alternates {
		for key, other := range m.events {
			if other.handled {
				delete(m.events, key)
			}
		}
	}
	if c.Alternates || now >= m.stageEnds {
		m.highest, m.stageEnds = 0, 0
	}
	m.events[c.Key] = event{owner: c.Owner, ends: now + keep, handled: true}
	if c.Stage > 0 {
		m.highest, m.stageEnds = max(m.highest, c.Stage), max(m.stageEnds, now+keep)
	}
	return nil
}

// Release answers as a store would.
func (m *Model) Release(c midhook.Claim) error {
	e, known := m.events[c.Key]
	if !known || e.handled || e.owner != c.Owner {
		return midhook.ErrNotOwner
	}
	m.end(c.Key)
	return nil
}

// Forgotten reports whether an event was handled and its keep is over: whether its
// owner may then finish it again is the store's to decide.
func (m *Model) Forgotten(now time.Duration, key string) bool {
	e := m.events[key]
	return e.handled && now >= e.ends
}
