// Package object reads the one JSON object that a webhook's body is into a
// struct: strict about JSON, tolerant about what a field holds, because senders
// add fields at any time and vary their types, and a customer's name may have been
// cut in the middle of a character.
package object

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"unicode/utf8"
	"unsafe"

	"github.com/go-json-experiment/json/jsontext"
)

// Table finds the fields of the struct type T by their JSON names: strings, which
// take a number by its literal text, and no text that is not Unicode, for two
// such could be read as one; bools, int64s, structs, slices of structs,
// and byte slices, which take any JSON as it stands.
//
// In every object that is read into a struct, a name that is not a field's but
// equals one under the case folding of encoding/json is refused: whoever binds the
// body with encoding/json would read that member into the field. Other names, and
// all those in what a byte slice takes, are free.
type Table[T any] struct{ layout *layout }

// TableOf returns the table of the struct type T, by its json tags.
func TableOf[T any]() *Table[T] { return &Table[T]{layoutOf(reflect.TypeFor[T]())} }

// layout says where in a struct its fields are.
type layout struct {
	of       reflect.Type
	byLength [][]field // few names have one length, so that a look costs less than a hash
}

// field says where a JSON member goes.
type field struct {
	name   string // ASCII
	folded string
	offset uintptr // in the struct: to find it by reflection takes as long as to read it
	of     reflect.Type
	kind   reflect.Kind
	elem   *layout // of a struct or a slice of structs
}

// in is where the field is, in the struct at v.
func (f *field) in(v unsafe.Pointer) unsafe.Pointer { return unsafe.Add(v, f.offset) }

func layoutOf(of reflect.Type) *layout {
	l := &layout{of: of}
	for i := range of.NumField() {
		name, _, _ := strings.Cut(of.Field(i).Tag.Get("json"), ",")
		if name == "" || name == "-" {
			continue
		}
		typ := of.Field(i).Type
		f := field{name: name, folded: strings.Map(fold, name), offset: of.Field(i).Offset, of: typ, kind: typ.Kind()}
		switch {
		case f.kind == reflect.Struct:
			f.elem = layoutOf(typ)
		case f.kind == reflect.Slice && typ.Elem().Kind() == reflect.Struct:
			f.elem = layoutOf(typ.Elem())
		case f.kind == reflect.Slice && typ.Elem().Kind() != reflect.Uint8:
			panic(fmt.Sprintf("object: no JSON is read into %s, which is %v", name, typ))
		}
		for len(l.byLength) <= len(name) {
			l.byLength = append(l.byLength, nil)
		}
		l.byLength[len(name)] = append(l.byLength[len(name)], f)
	}
	return l
}

// field returns the field of that name, nil if there is none.
func (l *layout) field(name []byte) *field {
	fields := l.ofLength(len(name))
	for i := range fields {
		if fields[i].name == string(name) {
			return &fields[i]
		}
	}
	return nil
}

// ofLength returns the fields whose names have n letters.
func (l *layout) ofLength(n int) []field {
	if n >= len(l.byLength) {
		return nil
	}
	return l.byLength[n]
}

// Decode reads body into the struct that v points to. text is the body as a
// string: what is read is pieces of it, so that a field costs no copy. member, if
// not nil, is called with the name of each member that is not null.
//
// It fails for anything but one JSON object, for more than MaxMembers allows, where a
// name is given twice in any object of it, and where one could be taken for a field's,
// see [Table]. The error quotes nothing of the body.
func (t *Table[T]) Decode(body []byte, text string, v *T, member func(name string)) error {
	if member == nil {
		return t.layout.decode(body, text, unsafe.Pointer(v), nil)
	}
	return t.DecodeMembers(body, text, v, func(name []byte, _ string, _ bool) { member(string(name)) })
}

// DecodeMembers is Decode, which also tells member whether a field holds all of the
// value, and the value's JSON if none does.
func (t *Table[T]) DecodeMembers(body []byte, text string, v *T, member func(name []byte, json string, held bool)) error {
	return t.layout.decode(body, text, unsafe.Pointer(v), func(m visited) {
		switch json := text[m.start:m.end]; {
		case json == "null":
		case m.held:
			member(m.name, "", true)
		default:
			member(m.name, json, false)
		}
	})
}

// Extra returns the JSON of the member of that name, by a path of names where it
// is in an object of the object, if no field holds all of it.
func (t *Table[T]) Extra(text string, path ...string) (json []byte, ok bool) {
	return t.layout.extra(text, path...)
}

func (l *layout) extra(text string, path ...string) (json []byte, ok bool) {
	if len(path) == 0 {
		return nil, false
	}
	var outer string
	err := l.decode([]byte(text), text, reflect.New(l.of).UnsafePointer(), func(m visited) {
		if string(m.name) == path[0] && (!m.held || len(path) > 1) {
			outer, ok = text[m.start:m.end], true
		}
	})
	switch {
	case err != nil || !ok:
		return nil, false
	case len(path) == 1:
		return []byte(outer), true
	}
	inner := l.field([]byte(path[0]))
	if inner == nil || inner.kind != reflect.Struct {
		return nil, false
	}
	return inner.elem.extra(outer, path[1:]...)
}

// Replace returns text with another text as the value of the member of that name.
func Replace(text, name, value string) string {
	replaced := text
	_ = new(layout).decode([]byte(text), text, nil, func(m visited) {
		if string(m.name) == name {
			quoted, _ := jsontext.AppendQuote(nil, value)
			replaced = text[:m.start] + string(quoted) + text[m.end:]
		}
	})
	return replaced
}

// Text returns the text of a JSON value that is a string, and Unicode: for a field
// that takes any JSON, but must be a string to count.
func Text(value []byte) (text string, ok bool) {
	if len(value) == 0 || value[0] != '"' {
		return "", false
	}
	if text, ok = unescape(string(value)); !ok {
		text = ""
	}
	return text, ok
}

// looksLikeField reports whether encoding/json takes name for a field's where no field
// has exactly that name.
func (l *layout) looksLikeField(name []byte) bool {
	return slices.ContainsFunc(l.ofLength(utf8.RuneCount(name)), func(f field) bool { return foldsTo(name, f.folded) })
}

// foldsTo reports whether name has the letters of folded, which are ASCII and as many.
func foldsTo(name []byte, folded string) bool {
	for i := range len(folded) {
		r, size := utf8.DecodeRune(name)
		if fold(r) != rune(folded[i]) {
			return false
		}
		name = name[size:]
	}
	return true
}

// fold is a letter as encoding/json compares it: either case is alike, and so are the
// two letters that Unicode folds to an ASCII one, ſ to s and the Kelvin sign to k.
func fold(r rune) rune {
	switch {
	case 'A' <= r && r <= 'Z':
		return r + ('a' - 'A')
	case r == '\u017f':
		return 's'
	case r == '\u212a':
		return 'k'
	}
	return r
}
