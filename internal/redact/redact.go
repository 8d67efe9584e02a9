// Package redact shows of a value what its LogValue shows, and nothing else,
// however it is printed: %+v, %#v and JSON would show its fields.
package redact

import (
	"encoding/json"
	"fmt"
	"log/slog"
)

// Attrs appends texts to attrs, each after its name, but for those that are empty.
func Attrs(attrs []slog.Attr, namesAndTexts ...string) []slog.Attr {
	for i := 0; i < len(namesAndTexts); i += 2 {
		if name, text := namesAndTexts[i], namesAndTexts[i+1]; text != "" {
			attrs = append(attrs, slog.String(name, text))
		}
	}
	return attrs
}

// Format prints attrs for a fmt.Formatter, quoted.
func Format(w fmt.State, attrs []slog.Attr) {
	for i, a := range attrs {
		if i > 0 {
			fmt.Fprint(w, " ")
		}
		fmt.Fprintf(w, "%s=%q", a.Key, a.Value.String())
	}
}

// Resolve is v as its LogValue shows it, and so is all that is in its groups.
func Resolve(v slog.Value) slog.Value {
	v = v.Resolve()
	if v.Kind() != slog.KindGroup {
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
