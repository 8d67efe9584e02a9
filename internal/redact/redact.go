// Package redact shows of a value what its LogValue shows, and nothing else,
// however it is printed: %+v, %#v and JSON would show its fields.
package redact

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"unicode/utf8"
)

// ErrPrinted is why an UnmarshalJSON refuses what its type's MarshalJSON gave.
var ErrPrinted = errors.New("what was printed is not the body: keep Raw, and parse that")

// maxText is how many bytes of a text are shown. Nobody signed most of them.
const maxText = 256

// Text is what may be shown of a text that someone else wrote: on one line, and cut.
// What is no printable character is shown as Go writes it in quotes, so that it
// forges no line of a log, however the text is printed.
func Text(text string) string {
	text = cut(text)
	if strings.IndexFunc(text, unprintable) < 0 {
		return text
	}
	quoted := strconv.Quote(text)
	return cut(quoted[1 : len(quoted)-1])
}

// cut shortens a text, not in the middle of a character.
func cut(text string) string {
	if len(text) <= maxText {
		return text
	}
	return strings.ToValidUTF8(text[:maxText], "")
}

func unprintable(r rune) bool { return r == utf8.RuneError || !strconv.IsPrint(r) }

// foreign is a text that must not be printed as it stands.
type foreign string

// String is what may be shown of it.
func (f foreign) String() string { return Text(string(f)) }

// LogValue is what may be shown of it.
func (f foreign) LogValue() slog.Value { return slog.StringValue(f.String()) }

// Attrs appends texts to attrs, each after its name, but for those that are empty.
// Each is shown as [Text] has it.
func Attrs(attrs []slog.Attr, namesAndTexts ...string) []slog.Attr {
	for i := 0; i < len(namesAndTexts); i += 2 {
		switch name, text := namesAndTexts[i], namesAndTexts[i+1]; {
		case text == "":
		case Text(text) == text:
			attrs = append(attrs, slog.String(name, text))
		default:
			attrs = append(attrs, slog.Any(name, foreign(cut(text))))
		}
	}
	return attrs
}

// Format prints attrs for a fmt.Formatter, quoted and cut, and groups in brackets.
func Format(w fmt.State, attrs []slog.Attr) {
	for i, a := range attrs {
		if i > 0 {
			fmt.Fprint(w, " ")
		}
		if v := Resolve(a.Value); v.Kind() == slog.KindGroup {
			fmt.Fprintf(w, "%s=[", a.Key)
			Format(w, v.Group())
			fmt.Fprint(w, "]")
		} else {
			fmt.Fprintf(w, "%s=%q", a.Key, verbatim(a.Value))
		}
	}
}

// verbatim is what %q is to quote: a text before it was made printable.
func verbatim(v slog.Value) string {
	if text, ok := v.Any().(foreign); ok {
		return string(text)
	}
	return cut(v.Resolve().String())
}

// Resolve is v as its LogValue shows it, and so is all that is in its groups. A text
// is shown as [Text] has it.
func Resolve(v slog.Value) slog.Value {
	v = v.Resolve()
	switch v.Kind() {
	case slog.KindString:
		return slog.StringValue(Text(v.String()))
	case slog.KindGroup:
	default:
		return v
	}
	attrs := make([]slog.Attr, len(v.Group()))
	for i, a := range v.Group() {
		attrs[i] = slog.Attr{Key: a.Key, Value: Resolve(a.Value)}
	}
	return slog.GroupValue(attrs...)
}

// JSON is attrs as an object, and groups as objects in it.
func JSON(attrs []slog.Attr) ([]byte, error) { return json.Marshal(members(attrs)) }

func members(attrs []slog.Attr) map[string]any {
	m := make(map[string]any, len(attrs))
	for _, a := range attrs {
		if v := Resolve(a.Value); v.Kind() == slog.KindGroup {
			m[a.Key] = members(v.Group())
		} else {
			m[a.Key] = v.Any()
		}
	}
	return m
}
