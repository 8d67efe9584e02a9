package midhook_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/midhook/midhook"
)

// hostile are bodies of at most 64 KiB, the default limit, made to cost as much as can
// be had for it.
func hostile() map[string]string {
	const limit = 64 << 10
	many := func(format string, most int) string { // format takes a number, so that names differ
		var b strings.Builder
		for i := range most {
			item := fmt.Sprintf(format, i)
			if b.Len()+len(item) > limit-100 {
				break
			}
			b.WriteString(item + ",")
		}
		return strings.TrimSuffix(b.String(), ",")
	}
	pad := func(piece string) string { return strings.Repeat(piece, (limit-100)/len(piece)) }
	list := func(item string) string { return strings.TrimSuffix(pad(item+","), ",") }
	return map[string]string{
		"members":                      `{` + many(`"%d":0`, 1000) + `}`,
		"long names":                   `{` + many(`"name of some length that no field has, and number %05d":0`, 1000) + `}`,
		"names with escapes":           `{` + many(`"\u006e\u0061\u006d\u0065\u006f\u0066\u0066\u0066%d":0`, 1000) + `}`,
		"names that fold, not Unicode": "{\"x\":\"\xff\"," + many(`"ſſſſſſſſſſſſſſſſſſſſſſ%d":0`, 999) + `}`,
		"names with many escapes":      `{"` + strings.Repeat(`\u006e`, 999) + `":0,` + many(`"name of some length that no field has, and number %05d":0`, 990) + `}`,
		"names with escapes within":    `{"x":{` + many(`"\u006e\u0061\u006d\u0065\u006f\u0066\u0066\u0066%d":0`, 990) + `}}`,
		"names that fold":              `{` + many(`"ſſſſſſſſſſſſſſſſſſſſſſſſſſ%d":0`, 1000) + `}`,
		"objects in a list":            `{"x":[` + list(`{}`) + `]}`,
		"lists in a list":              `{"x":[` + list(`[]`) + `]}`,
		"objects and members":          `{"x":[` + many(`{"a":{"b":%d}}`, 499) + `,` + strings.TrimSuffix(strings.Repeat(`{},`, 16000), `,`) + `]}`,
		"numbers":                      `{"x":[` + list(`0`) + `]}`,
		"literals":                     `{"x":[` + list(`null`) + `]}`,
		"empty strings":                `{"x":[` + list(`""`) + `]}`,
		"digits":                       `{"order_id":` + pad(`9`) + `}`,
		"escapes":                      `{"order_id":"` + pad(`\u00e9`) + `"}`,
		"short escapes":                `{"order_id":"` + pad(`\n`) + `"}`,
		"half characters":              `{"x":"` + pad(`\ud800`) + `"}`,
		"not Unicode":                  `{"x":"` + pad("\xff") + `"}`,
		"letters":                      `{"order_id":"` + pad(`é`) + `"}`,
		"refunds":                      `{"refunds":[` + list(`{}`) + `]}`,
		"refunds with a field":         `{"refunds":[` + many(`{"reason":"\n%d"}`, 998) + `]}`,
		"refunds of numbers":           `{"refunds":[` + list(`0`) + `]}`,
		"nested lists":                 `{"x":` + strings.Repeat(`[`, 9990) + strings.Repeat(`]`, 9990) + `}`,
		"nested objects":               strings.Repeat(`{"x":`, 999) + `0` + strings.Repeat(`}`, 999),
		"at every limit at once":       `{"refunds":[` + many(`{"\u006e%d":[]}`, 998) + `]}`,
		"names like a field's":         `{` + many(`"merchant_cross_reference%03d":0`, 1000) + `}`,
		"as many deep lists":           `{"x":[` + strings.Repeat(strings.Repeat(`[`, 50)+strings.Repeat(`]`, 50)+`,`, 19) + list(`""`)[:60000] + `""]}`,
		"as many refunds of numbers":   `{"refunds":[0` + strings.Repeat(`,0`, 990) + `],"x":[` + list(`""`)[2100:] + `]}`,
		"as many unusual letters":      `{` + many(`"ſſſſſſſſſſſſſſſſſſſſſſſſſſ%d":0`, 18) + `,` + many(`"name of some length that no field has, and number %05d":0`, 960) + `}`,
		"many deep lists":              `{"x":[` + list(strings.Repeat(`[`, 50)+strings.Repeat(`]`, 50)) + `]}`,
		"metadata":                     `{"metadata":[` + list(`{}`) + `]}`,
		"colons":                       `{` + many(`"%d":0`, 998) + `,"x":"` + strings.Repeat(`:`, 50000) + `"}`,
		"spaces":                       `{"x":[` + list(`0 `) + `]}` + strings.Repeat(" ", 90),
	}
}

// Rule: what is measured is a body, and either refused because there is too much of
// something, or read to its end.
func TestHostileBodiesAreRead(t *testing.T) {
	for name, text := range hostile() {
		assert.LessOrEqual(t, len(text), 64<<10, name)
		assert.Greater(t, len(text), 5000, name)
		assert.True(t, json.Valid([]byte(text)), name)
		_, err := midhook.Parse([]byte(text))
		require.ErrorIs(t, err, midhook.ErrMalformed, name)
		if strings.HasPrefix(name, "as many") || strings.HasPrefix(name, "at every limit") {
			assert.ErrorContains(t, err, "order_id must be", name)
		}
	}
}

// fastest are the least times that some functions take, in turn, so that they say
// nothing of what else the machine does.
func fastest(runs int, fns ...func()) []time.Duration {
	least := make([]time.Duration, len(fns))
	for range runs {
		for i, fn := range fns {
			began := time.Now()
			fn()
			if took := time.Since(began); least[i] == 0 || took < least[i] {
				least[i] = took
			}
		}
	}
	return least
}

// BenchmarkWorstBody parses bodies of 64 KiB that strangers may send, and reports how
// many times as long as a normal one each takes, at best of many.
func BenchmarkWorstBody(b *testing.B) {
	normal := notify("gopay")
	for name, text := range hostile() {
		body := []byte(text)
		b.Run(strings.ReplaceAll(name, " ", "_"), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_, _ = midhook.Parse(body)
			}
			const each = 50 // normal ones, for the clock is coarse
			least := fastest(300, func() { _, _ = midhook.Parse(body) }, func() {
				for range each {
					_, _ = midhook.Parse(normal)
				}
			})
			b.ReportMetric(float64(least[0])*each/float64(least[1]), "x-normal")
		})
	}
}
