// Package slab keeps many small records under hashed names: in few large blocks
// without pointers, so that a million of them cost the garbage collector nothing,
// and at places that a record keeps until it is deleted, so that records can name
// one another by int32.
package slab

// Key names a record: 128 bits of a hash whose seeds nobody outside knows. It is
// taken for unique and for evenly spread.
type Key [2]uint64

// Table is a set of records of type T. The zero Table is empty and ready. Its
// memory grows with the most records it ever held, and does not shrink.
type Table[T any] struct {
	blocks [][]record[T]
	used   int32   // places in blocks, the first of which stays empty
	free   []int32 // used places that hold no record
	slots  []slot  // open addressing with linear probing, at most half full
	shift  uint    // turns a tag into the slot where the search for it begins
}

type record[T any] struct {
	key   Key
	value T
}

// slot is a record's place and 32 bits of its key, so that a search reads no
// record but the one it is for. A slot without a record is 0.
type slot struct {
	tag   uint32
	place int32
}

const (
	blockBits = 9
	blockSize = 1 << blockBits
	minSlots  = 16
)

// Len is the number of records.
func (t *Table[T]) Len() int { return max(0, int(t.used)-1) - len(t.free) }

// At returns the record at a place that Find or Insert has named.
func (t *Table[T]) At(place int32) *T { return &t.record(place).value }

func (t *Table[T]) record(place int32) *record[T] {
	return &t.blocks[place>>blockBits][place%blockSize]
}

// Find returns the place of a record, or 0 if there is none.
func (t *Table[T]) Find(k Key) int32 {
	if len(t.slots) == 0 {
		return 0
	}
	return t.slots[t.search(k)].place
}

// Fetch has the processor read where the search for k begins, and does not wait for it:
// what follows goes on, on the guess that no slot is broken. A large table is in no
// cache, so that who needs several keys saves much by fetching them before the first
// search.
func (t *Table[T]) Fetch(k Key) {
	if len(t.slots) > 0 && t.slots[t.home(uint32(k[0]))].place < 0 {
		panic("slab: a slot names no place")
	}
}

// FetchAt is Fetch for the key of the record at a place.
func (t *Table[T]) FetchAt(place int32) { t.Fetch(t.record(place).key) }

// search returns the index of the slot that holds k, or of the empty one where k
// would be.
func (t *Table[T]) search(k Key) int {
	tag := uint32(k[0])
	for i := t.home(tag); ; i = t.next(i) {
		s := t.slots[i]
		if s.place == 0 || s.tag == tag && t.record(s.place).key == k {
			return i
		}
	}
}

func (t *Table[T]) home(tag uint32) int { return int(tag >> t.shift) }
func (t *Table[T]) next(i int) int      { return (i + 1) & (len(t.slots) - 1) }

// Insert adds a record that is not there yet and returns its place. The record has
// the zero value.
func (t *Table[T]) Insert(k Key) int32 {
	place := t.allocate()
	*t.record(place) = record[T]{key: k}
	t.link(k, place)
	return place
}

func (t *Table[T]) allocate() int32 {
	if n := len(t.free); n > 0 {
		place := t.free[n-1]
		t.free = t.free[:n-1]
		return place
	}
	if t.used == 0 {
		t.used = 1
	}
	if int(t.used>>blockBits) == len(t.blocks) || len(t.blocks) == 0 {
		t.blocks = append(t.blocks, make([]record[T], blockSize))
	}
	t.used++
	return t.used - 1
}

// Rename gives a record another key, under which there is none yet.
func (t *Table[T]) Rename(place int32, k Key) {
	r := t.record(place)
	t.unlink(r.key)
	r.key = k
	t.link(k, place)
}

// Delete removes a record. Its place may be another record's from then on.
func (t *Table[T]) Delete(place int32) {
	t.unlink(t.record(place).key)
	t.free = append(t.free, place)
}

func (t *Table[T]) link(k Key, place int32) {
	if 2*t.Len() > len(t.slots) {
		t.grow()
	}
	t.slots[t.search(k)] = slot{uint32(k[0]), place}
}

func (t *Table[T]) grow() {
	old := t.slots
	t.slots = make([]slot, max(minSlots, 2*len(old)))
	t.shift = 32
	for n := len(t.slots); n > 1; n /= 2 {
		t.shift--
	}
	for _, s := range old {
		if s.place != 0 {
			i := t.home(s.tag)
			for t.slots[i].place != 0 { // no two are alike, so that no record need be read
				i = t.next(i)
			}
			t.slots[i] = s
		}
	}
}

// unlink empties the slot of k and moves those up that were kept from their own
// slots by it, so that no search ends too early.
func (t *Table[T]) unlink(k Key) {
	hole := t.search(k)
	for i := t.next(hole); t.slots[i].place != 0; i = t.next(i) {
		if distance := len(t.slots) - 1; (i-t.home(t.slots[i].tag))&distance >= (i-hole)&distance {
			t.slots[hole] = t.slots[i]
			hole = i
		}
	}
	t.slots[hole] = slot{}
}
