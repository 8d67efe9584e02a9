package slab

import (
	"math/rand/v2"
	"testing"
)

// Rule: a Table is a map, whatever is inserted, renamed and deleted in whatever
// order, also where all keys begin at few slots; a record keeps its place.
func TestTableIsAMap(t *testing.T) {
	for _, spread := range []uint64{1, 1 << 20, 1<<32 - 1} {
		rnd := rand.New(rand.NewPCG(1, spread))
		var table Table[int]
		model, places := map[Key]int{}, map[Key]int32{}
		key := func() Key { return Key{rnd.Uint64N(spread) << 8, rnd.Uint64N(500)} }
		for step := range 15_000 {
			k := key()
			place := table.Find(k)
			if _, known := model[k]; known != (place != 0) || place != places[k] {
				t.Fatalf("step %d: Find says %d, want %d", step, place, places[k])
			}
			other := key()
			switch {
			case place == 0:
				place = table.Insert(k)
				if *table.At(place) != 0 {
					t.Fatalf("step %d: a new record has the value of an old one", step)
				}
				*table.At(place), model[k], places[k] = step, step, place
			case *table.At(place) != model[k]:
				t.Fatalf("step %d: value %d, want %d", step, *table.At(place), model[k])
			case rnd.IntN(3) == 0 && table.Find(other) == 0:
				table.Rename(place, other)
				model[other], places[other] = model[k], place
				delete(model, k)
				delete(places, k)
			default:
				table.Delete(place)
				delete(model, k)
				delete(places, k)
			}
			if table.Len() != len(model) {
				t.Fatalf("step %d: Len %d, want %d", step, table.Len(), len(model))
			}
		}
		for k := range model {
			if place := table.Find(k); place != places[k] || *table.At(place) != model[k] {
				t.Fatalf("%v is lost", k)
			}
		}
	}
}
