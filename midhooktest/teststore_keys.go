package midhooktest

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/midhook/midhook"
)

// keyCases are three for each list of keys.
func keyCases() []storeCase {
	cases := emptyKeyCases
	for _, k := range hostileKeys {
		rule := " may hold any bytes, and different ones are different: " + k.what
		cases = append(cases,
			storeCase{"events-" + k.name, "Key" + rule, func(s *storeScript) { s.eventsDiffer(k.keys) }},
			storeCase{"subjects-" + k.name, "Subject" + rule, func(s *storeScript) { s.subjectsDiffer(k.keys) }},
			storeCase{"owners-" + k.name, "Owner" + rule, func(s *storeScript) { s.ownersDiffer(k.keys) }},
		)
	}
	return cases
}

// unique makes each key this case's own, once at its end and once at its
// beginning, for what is lost may be at either.
func (s *storeScript) unique(keys []string) []string {
	var all []string
	for _, k := range keys {
		all = append(all, s.id+k)
		if k != "" {
			all = append(all, k+s.id)
		}
	}
	return all
}

func (s *storeScript) eventsDiffer(keys []string) {
	keys = s.unique(keys)
	claim := func(i int, owner string) midhook.Claim {
		return midhook.Claim{Key: keys[i], Owner: owner + strconv.Itoa(i), Lease: longEnough}
	}
	s.each(len(keys),
		func(i int) { s.acquire(acquired, claim(i, "a")) },
		func(i int) { s.acquire(inFlight, claim(i, "b")) },
		func(i int) { s.finish(nil, claim(i, "a"), longEnough) },
		func(i int) { s.acquire(done, claim(i, "b")) })
}

// subjectsDiffer gives each subject a highest stage of its own: of two that are
// taken for one, the lower is superseded by the higher.
func (s *storeScript) subjectsDiffer(keys []string) {
	keys = s.unique(keys)
	claim := func(i int, event string, stage int) midhook.Claim {
		return midhook.Claim{Key: fmt.Sprint(s.id, event, i), Subject: keys[i], Stage: 10*(i+1) + stage, Owner: "a", Lease: longEnough}
	}
	s.each(len(keys),
		func(i int) { s.acquire(acquired, claim(i, "highest", 0)) },
		func(i int) { s.finish(nil, claim(i, "highest", 0), longEnough) },
		func(i int) { s.acquire(acquired, claim(i, "as high", 0)) },
		func(i int) { s.release(nil, claim(i, "as high", 0)) },
		func(i int) { s.acquire(superseded, claim(i, "lower", -1)) })
}

func (s *storeScript) ownersDiffer(keys []string) {
	s.each(len(keys), func(i int) {
		event := fmt.Sprint("event ", i)
		own, other := alone(s.claim(keys[i], event, 0)), alone(s.claim(keys[(i+1)%len(keys)], event, 0))
		s.acquire(acquired, own)
		s.acquire(inFlight, other)
		s.finish(notOwner, other, longEnough)
		s.release(notOwner, other)
		s.finish(nil, own, longEnough)
		s.finish(notOwner, other, longEnough)
		s.finish(nil, own, longEnough)
	})
}

var emptyKeyCases = []storeCase{
	{"empty-event", "Key may hold any bytes, and none", func(s *storeScript) {
		c := midhook.Claim{Owner: s.id, Lease: storeTimeout / 2}
		// This one event is every run's: another may hold it.
		began := time.Now()
		for s.acquired(c) == stateName(inFlight) && time.Since(began) < storeTimeout {
			time.Sleep(storePoll)
		}
		s.acquire(acquired, c)
		s.acquire(inFlight, midhook.Claim{Owner: "b" + s.id, Lease: storeTimeout / 2})
		s.release(nil, c)
	}},
	{"empty-owner", "Owner may hold any bytes, and none", func(s *storeScript) {
		s.acquire(acquired, s.claim("", "E", 40))
		s.acquire(inFlight, s.claim("b", "E", 40))
		s.acquire(acquired, s.claim("", "E", 40))
		s.finish(notOwner, s.claim("b", "E", 40), longEnough)
		s.finish(nil, s.claim("", "E", 40), longEnough)
		s.finish(nil, s.claim("", "E", 40), longEnough)
		s.acquire(done, s.claim("b", "E", 40))
		s.finish(notOwner, s.claim("b", "F", 40), longEnough)
		s.finish(notOwner, s.claim("", "F", 40), longEnough) // no owner is not an empty one
		s.acquire(acquired, s.claim("a", "G", 40))
		s.release(nil, s.claim("a", "G", 40))
		s.finish(notOwner, s.claim("", "G", 40), longEnough)
	}},
}

// kilobytes is longer than any index.
var kilobytes = strings.Repeat("x", 10_000)

// hostileKeys are keys that some database, some protocol or some library takes
// for one another, or for something else.
var hostileKeys = []struct {
	name, what string
	keys       []string
}{
	{"bytes", "any bytes", []string{
		"\x00", "\x00\x00", "\x00a", "a\x00", "a\x00b", "\x01", "\x1b", "\x7f", "\n", "\r\n", "'", "''", `"`, "`", "'; --",
		`\`, `\\`, `\0`, `\x00`, `\n`, "%", "%%", "%s", "%00", "_", "*", "?", "[a]", "{", "}", "{}", "{a}", "{a}b", "$1", ":", "|", "/", "../", "&amp;", "&",
	}},
	{"encoding", "bytes that are not UTF-8", []string{
		"\xff", "\xfe", "\xff\xff", "\uFFFD", "\xc3", "\xc3\x28", "\xe9", "\u00e9", "\xc0\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80", "a\xff", "a\xfe",
	}},
	{"case", "letters that differ in case only", []string{"a", "A", "event", "Event", "EVENT", "é", "É", "ß", "ẞ", "ss", "SS", "i", "I", "ı", "İ", "σ", "ς", "Σ", "k", "\u212a"}},
	{"space", "white space and what cannot be seen", []string{
		"", " ", "  ", "\t", "a", "a ", " a", "a  ", "a\t", "a\n", "\na", "a\r\n", "a\u00a0", "a\u3000", "a\u200b", "\ufeffa", "a\u00ad", "a\x00",
	}},
	{"unicode", "texts that Unicode takes for equal", []string{
		"\u00e9", "e\u0301", "e", "\u00c5", "\u212b", "A\u030a", "ﬁ", "fi", "１", "1", "²", "2", "한", "\u1112\u1161\u11ab", "ä", "ae", "01", "1.0", "1e0",
	}},
	{"long", "10,000 bytes that differ in one", []string{
		kilobytes, kilobytes + "a", kilobytes + "b", "a" + kilobytes, "b" + kilobytes, kilobytes[1:], kilobytes[:len(kilobytes)/2] + "a" + kilobytes[len(kilobytes)/2:],
	}},
}
