// Package object reads the one JSON object that a webhook's body is into a
// struct: strict about JSON, tolerant about what a field holds, because senders
// add fields at any time and vary their types, and a customer's name may have been
// cut in the middle of a character.
package object

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// Table finds the fields of a struct type by their JSON names: strings, which
// take a number by its literal text, and no text that is not Unicode, for two
// such could be read as one; bools, int64s, structs, slices of structs,
// and byte slices, which take any JSON as it stands.
//
// In every object that is read into a struct, a name that is not a field's but
// equals one under the case folding of encoding/json is refused: whoever binds the
// body with encoding/json would read that member into the field. Other names, and
// all those in what a byte slice takes, are free.
type Table struct {
	of     reflect.Type
	fields map[string]field
	folded map[string]bool // the fields' names as foldName has them
}

// field says where a JSON member goes.
type field struct {
	index int
	kind  reflect.Kind // reflect.Invalid in the zero value, which no member goes to
	elem  *Table       // of a struct or a slice of structs
}

// TableOf returns the table of the struct type T, by its json tags.
func TableOf[T any]() *Table { return tableOf(reflect.TypeFor[T]()) }

func tableOf(of reflect.Type) *Table {
	t := &Table{of: of, fields: map[string]field{}, folded: map[string]bool{}}
	for i := range of.NumField() {
		name, _, _ := strings.Cut(of.Field(i).Tag.Get("json"), ",")
		if name == "" || name == "-" {
			continue
		}
		typ := of.Field(i).Type
		f := field{index: i, kind: typ.Kind()}
		switch {
		case f.kind == reflect.Struct:
			f.elem = tableOf(typ)
		case f.kind == reflect.Slice && typ.Elem().Kind() == reflect.Struct:
			f.elem = tableOf(typ.Elem())
		}
		t.fields[name] = f
		t.folded[foldName(name)] = true
	}
	return t
}

// find returns the field of that name, the zero field for an unknown name, and an
// error for one that only looks like a field's.
func (t *Table) find(name string) (field, error) {
	f, known := t.fields[name]
	if !known && t.folded[foldName(name)] {
		return f, errAmbiguous
	}
	return f, nil
}

// Decode reads body into the struct that v points to. text is the body as a
// string: what is read is pieces of it, so that a field costs no copy. member, if
// not nil, is called with the name of each member that is not null.
//
// It fails for anything but one JSON object, for more than MaxMembers members,
// where a name is given twice in any object of it, and where one could be taken for
// a field's, see [Table]. The error quotes nothing of the body.
func (t *Table) Decode(body []byte, text string, v any, member func(name string)) error {
	if member == nil {
		return t.DecodeMembers(body, text, v, nil)
	}
	return t.DecodeMembers(body, text, v, func(name, _ string, _ bool) { member(name) })
}

// DecodeMembers is Decode, which also tells member whether a field holds all of the
// value, and the value's JSON if none does.
func (t *Table) DecodeMembers(body []byte, text string, v any, member func(name, json string, held bool)) error {
	target := reflect.ValueOf(v).Elem()
	return read(body, text, func(p *parser, name string) error {
		f, err := t.find(name)
		if err != nil {
			return err
		}
		start := p.dec.InputOffset()
		held, err := p.field(target, f)
		switch {
		case member == nil || p.null || err != nil:
		case held:
			member(name, "", true)
		default:
			member(name, p.since(start), false)
		}
		return err
	})
}

// Extra returns the JSON of the member of that name, by a path of names where it
// is in an object of the object, if no field holds all of it.
func (t *Table) Extra(text string, path ...string) (json []byte, ok bool) {
	if len(path) == 0 {
		return nil, false
	}
	scratch := reflect.New(t.of).Elem()
	var outer string
	inner := field{}
	err := read([]byte(text), text, func(p *parser, name string) error {
		f, err := t.find(name)
		if err != nil {
			return err
		}
		start := p.dec.InputOffset()
		whole, err := p.field(scratch, f)
		if name == path[0] && (!whole || len(path) > 1) {
			outer, inner, ok = p.since(start), f, true
		}
		return err
	})
	switch {
	case err != nil || !ok:
		return nil, false
	case len(path) == 1:
		return []byte(outer), true
	case inner.kind != reflect.Struct:
		return nil, false
	}
	return inner.elem.Extra(outer, path[1:]...)
}

// Replace returns text with another text as the value of the member of that name.
func Replace(text, name, value string) string {
	replaced := text
	_ = read([]byte(text), text, func(p *parser, member string) error {
		before := p.dec.InputOffset()
		_, err := p.value()
		if member == name && err == nil {
			end := p.dec.InputOffset()
			start := end - int64(len(p.since(before)))
			quoted, _ := jsontext.AppendQuote(nil, value)
			replaced = text[:start] + string(quoted) + text[end:]
		}
		return err
	})
	return replaced
}

// parser reads one body.
type parser struct {
	dec     jsontext.Decoder
	body    bytes.Buffer
	text    string
	unicode bool // all bytes of text are UTF-8; an escape may still be half a character
	null    bool // what field read last
}

var (
	parsers       = sync.Pool{New: func() any { return new(parser) }}
	nothing       = strings.NewReader("")
	anyText       = jsontext.AllowInvalidUTF8(true) // see unquote
	errUnexpected = errors.New("not one JSON object")
	errAmbiguous  = errors.New("a name differs from a field's in letter case only")
	errTooMany    = fmt.Errorf("more than %d members", MaxMembers)
)

// MaxMembers is how many members a body may have, those of objects within it
// included. What a decoder does for each of them, to find a name that is given
// twice, is most of what a body costs.
const MaxMembers = 1000

// hasTooManyMembers counts the colons outside of strings, one for each member of
// what is JSON.
func hasTooManyMembers(text string) bool {
	if strings.Count(text, ":") <= MaxMembers {
		return false // as all but hostile bodies: this takes no time
	}
	members, inString := 0, false
	for i := 0; i < len(text) && members <= MaxMembers; i++ {
		switch c := text[i]; {
		case c == '"':
			inString = !inString
		case c == '\\' && inString:
			i++
		case c == ':' && !inString:
			members++
		}
	}
	return members > MaxMembers
}

// read calls visit at each member of the one JSON object that body is. visit
// must read the member's value.
func read(body []byte, text string, visit func(p *parser, name string) error) error {
	if hasTooManyMembers(text) {
		return errTooMany
	}
	p := parsers.Get().(*parser)
	defer func() {
		p.dec.Reset(nothing)
		p.body, p.text = bytes.Buffer{}, ""
		parsers.Put(p)
	}()
	p.text, p.unicode = text, utf8.ValidString(text)
	return explain(p.whole(body, visit))
}

func (p *parser) whole(body []byte, visit func(p *parser, name string) error) error {
	p.body = *bytes.NewBuffer(body)
	p.dec.Reset(&p.body, anyText)
	if p.dec.PeekKind() != jsontext.KindBeginObject {
		return errUnexpected
	}
	if err := p.object(func(name string) error { return visit(p, name) }); err != nil {
		return err
	}
	if _, err := p.dec.ReadToken(); err != io.EOF {
		return cmp.Or(err, errUnexpected) // something follows the object
	}
	return nil
}

// since is the JSON of the value that was read since the decoder was at start.
func (p *parser) since(start int64) string {
	return strings.TrimLeft(p.text[start:p.dec.InputOffset()], ": \t\r\n")
}

// explain says where a body stops being JSON. The decoder's own text would quote
// the body.
func explain(err error) error {
	if err == nil {
		return nil
	}
	syntax, ok := errors.AsType[*jsontext.SyntacticError](err)
	switch {
	case errors.Is(err, errAmbiguous):
		return err
	case errors.Is(err, jsontext.ErrDuplicateName):
		return errors.New("a name is given twice")
	case ok:
		return fmt.Errorf("%w (at byte %d)", errUnexpected, syntax.ByteOffset)
	default:
		return errUnexpected
	}
}

// object reads an object, of whose members visit must read the values.
func (p *parser) object(visit func(name string) error) error {
	if _, err := p.dec.ReadToken(); err != nil {
		return err
	}
	for p.dec.PeekKind() == jsontext.KindString {
		name, err := p.value()
		if err != nil {
			return err
		}
		member, ok := unquote(name, p.unicode)
		if !ok { // it names no field, but is found with replacement characters
			b, _ := jsontext.AppendUnquote(nil, name)
			member = string(b)
		}
		if err := visit(member); err != nil {
			return err
		}
	}
	_, err := p.dec.ReadToken()
	return err
}

// members reads an object into a struct, and reports whether it holds all of it.
func (p *parser) members(v reflect.Value, t *Table) (whole bool, err error) {
	whole = true
	err = p.object(func(name string) error {
		f, err := t.find(name)
		if err != nil {
			return err
		}
		held, err := p.field(v, f)
		whole = whole && held
		return err
	})
	return whole, err
}

// value reads any value and returns its JSON text.
func (p *parser) value() (string, error) {
	value, err := p.dec.ReadValue()
	end := int(p.dec.InputOffset())
	return p.text[end-len(value) : end], err
}

// field reads a value into the field f of the struct v, and reports whether the
// field holds all of it. null is nothing to hold.
func (p *parser) field(v reflect.Value, f field) (whole bool, err error) {
	if f.elem != nil {
		switch kind := p.dec.PeekKind(); {
		case kind == jsontext.KindBeginArray && f.kind == reflect.Slice:
			defer p.notNull()
			return p.slice(v.Field(f.index), f.elem)
		case kind == jsontext.KindBeginObject && f.kind == reflect.Struct:
			defer p.notNull()
			return p.members(v.Field(f.index), f.elem)
		}
	}
	value, err := p.value()
	p.null = value == "null"
	switch {
	case err != nil || f.kind == reflect.Invalid:
		return false, err
	case p.null:
	case f.kind == reflect.String && (value[0] == '"' || isNumber(value)):
		text, ok := unquote(value, p.unicode)
		if !ok {
			return false, nil
		}
		v.Field(f.index).SetString(text)
	case f.kind == reflect.Bool && (value == "true" || value == "false"):
		v.Field(f.index).SetBool(value == "true")
	case f.kind == reflect.Int64:
		n, err := strconv.ParseInt(value, 10, 64)
		if err != nil {
			return false, nil
		}
		v.Field(f.index).SetInt(n)
	case f.kind == reflect.Slice && f.elem == nil:
		v.Field(f.index).SetBytes([]byte(value))
	default:
		return false, nil
	}
	return true, nil
}

func (p *parser) notNull() { p.null = false }

// maxItems bounds the memory that a body can make of "refunds":[{},{},{}] and so on.
const maxItems = 1000

// slice reads an array into a slice of structs, leaving out what is no object.
func (p *parser) slice(slice reflect.Value, elem *Table) (whole bool, err error) {
	if _, err := p.dec.ReadToken(); err != nil {
		return false, err
	}
	whole = true
	for p.dec.PeekKind() != jsontext.KindEndArray {
		if p.dec.PeekKind() != jsontext.KindBeginObject || slice.Len() == maxItems {
			if err := p.dec.SkipValue(); err != nil {
				return false, err
			}
			whole = false
			continue
		}
		slice.Grow(1)
		slice.SetLen(slice.Len() + 1)
		held, err := p.members(slice.Index(slice.Len()-1), elem)
		if err != nil {
			return false, err
		}
		whole = whole && held
	}
	_, err = p.dec.ReadToken()
	return whole, err
}

func isNumber(value string) bool {
	return value[0] == '-' || '0' <= value[0] && value[0] <= '9'
}

// Text returns the text of a JSON value that is a string, and Unicode: for a field
// that takes any JSON, but must be a string to count.
func Text(value []byte) (text string, ok bool) {
	if len(value) == 0 || value[0] != '"' {
		return "", false
	}
	if text, ok = unquote(string(value), false); !ok {
		text = ""
	}
	return text, ok
}

// unquote returns the text of a JSON string, and a number's literal text. It fails
// for a string that is not Unicode. unicode says that its bytes are.
func unquote(value string, unicode bool) (text string, ok bool) {
	if value[0] != '"' {
		return value, true
	}
	if !strings.Contains(value, `\`) {
		text = value[1 : len(value)-1]
		return text, unicode || utf8.ValidString(text)
	}
	b, err := jsontext.AppendUnquote(nil, value) // its syntax was checked when it was read
	return string(b), err == nil
}

// foldName is a name as encoding/json compares it where no field has exactly that
// name: letters of either case are alike, and so are the two that Unicode folds to
// an ASCII letter, ſ to s and the Kelvin sign to k.
func foldName(name string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case 'A' <= r && r <= 'Z':
			return r + ('a' - 'A')
		case r == '\u017f':
			return 's'
		case r == '\u212a':
			return 'k'
		}
		return r
	}, name)
}
