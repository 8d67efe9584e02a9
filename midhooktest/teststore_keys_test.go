package midhooktest

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/midhook/midhook"
)

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
