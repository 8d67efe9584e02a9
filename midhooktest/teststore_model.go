package midhooktest

import (
	"time"

	"github.com/midhook/midhook"
)

// storeModel is the contract of [midhook.Store] in its plainest form: one subject
// with its events, at a time that it is told.
type storeModel struct {
	events    map[string]modelEvent
	holder    string // the key of the event whose owner holds the subject
	held      bool
	holdEnds  time.Duration
	highest   int
	stageEnds time.Duration
}

type modelEvent struct {
	owner   string
	ends    time.Duration // of the lease or the keep
	handled bool
}

func newStoreModel() *storeModel { return &storeModel{events: map[string]modelEvent{}} }

func (m *storeModel) acquire(now time.Duration, c midhook.Claim) midhook.ClaimState {
	event, known := m.events[c.Key]
	if event.handled && now >= event.ends {
		known = false
	}
	claim := modelEvent{owner: c.Owner, ends: now + c.Lease}
	former := m.claimOf(c.Owner)
	switch {
	case known && event.handled:
		return midhook.Done
	case known && event.owner == c.Owner:
		m.events[c.Key] = claim
		return midhook.Acquired
	case known && now < event.ends:
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
func (m *storeModel) claimOf(owner string) *string {
	for key, event := range m.events {
		if !event.handled && event.owner == owner {
			return &key
		}
	}
	return nil
}

// end ends whoever's claim there is on an event.
func (m *storeModel) end(key string) {
	delete(m.events, key)
	if m.holder == key {
		m.held = false
	}
}

func (m *storeModel) finish(now time.Duration, c midhook.Claim, keep time.Duration) error {
	event, known := m.events[c.Key]
	switch {
	case !known || event.owner != c.Owner:
		return midhook.ErrNotOwner
	case event.handled:
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
	m.events[c.Key] = modelEvent{owner: c.Owner, ends: now + keep, handled: true}
	if c.Stage > 0 {
		m.highest, m.stageEnds = max(m.highest, c.Stage), max(m.stageEnds, now+keep)
	}
	return nil
}

func (m *storeModel) release(c midhook.Claim) error {
	event, known := m.events[c.Key]
	if !known || event.handled || event.owner != c.Owner {
		return midhook.ErrNotOwner
	}
	m.end(c.Key)
	return nil
}

// forgotten reports whether an event was handled and its keep is over: whether its
// owner may then finish it again is the store's to decide.
func (m *storeModel) forgotten(now time.Duration, key string) bool {
	event := m.events[key]
	return event.handled && now >= event.ends
}
