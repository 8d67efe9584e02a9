package redact_test

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"

	"github.com/midhook/midhook/internal/redact"
)

type printed []slog.Attr

func (p printed) Format(f fmt.State, _ rune) { redact.Format(f, p) }

// Rule: a text is shown on one line, without what a terminal obeys, and cut at 256
// bytes but not in the middle of a character.
func TestText(t *testing.T) {
	for text, want := range map[string]string{
		"":                             "",
		"pesanan é #1":                 "pesanan é #1",
		`a "quoted" \ text`:            `a "quoted" \ text`,
		"a\nb":                         `a\nb`,
		"a\x1b[2J":                     `a\x1b[2J`,
		"a\u2028b\u202eb":              `a\u2028b\u202eb`,
		"a\xffb":                       `a\xffb`,
		strings.Repeat("é", 200):       strings.Repeat("é", 128),
		"x" + strings.Repeat("é", 200): "x" + strings.Repeat("é", 127),
	} {
		assert.Equal(t, want, redact.Text(text))
		assert.Equal(t, want, redact.Text(redact.Text(text)), "and what was shown is shown again as it is")
	}
	hostile := redact.Text(strings.Repeat("\x00", 5000))
	assert.LessOrEqual(t, len(hostile), 256)
	assert.True(t, utf8.ValidString(hostile))
}

// Rule: Format quotes a text as Go does, once, and what is in groups.
func TestFormat(t *testing.T) {
	attrs := redact.Attrs(nil, "id", "a\n1", "none", "", "name", `x"y`)
	attrs = append(attrs, slog.Attr{Key: "group", Value: slog.GroupValue(redact.Attrs(nil, "id", "b")...)}, slog.Int("n", 7))
	assert.Equal(t, `id="a\n1" name="x\"y" group=[id="b"] n="7"`, fmt.Sprint(printed(attrs)))
	assert.Equal(t, `[id=a\n1 name=x"y group=[id=b] n=7]`, redact.Resolve(slog.GroupValue(attrs...)).String())
	assert.NotContains(t, slog.GroupValue(attrs...).String(), "\n")
	b, err := redact.JSON(attrs)
	assert.NoError(t, err)
	assert.JSONEq(t, `{"id":"a\\n1","name":"x\"y","group":{"id":"b"},"n":7}`, string(b))
}
