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
	"unsafe"

	"github.com/go-json-experiment/json/jsontext"
)

// parser reads one body.
type parser struct {
	dec     jsontext.Decoder
	body    bytes.Buffer
	text    string
	unicode bool // all bytes of text are UTF-8; an escape may still be half a character
	escapes bool // there are any in text
	inNames int  // unusual bytes, so far
}

// visited is a member that was read: its name, which nobody may keep, where in the text
// its value is, and whether a field holds all of that.
type visited struct {
	name       []byte
	start, end int
	held       bool
}

var (
	parsers       = sync.Pool{New: func() any { return new(parser) }}
	anyText       = jsontext.AllowInvalidUTF8(true) // see unquote
	errUnexpected = errors.New("not one JSON object")
	errAmbiguous  = errors.New("a name differs from a field's in letter case only")
	errTooMany    = fmt.Errorf("more than %d members, objects, lists or items, or backslashes and bytes that are not ASCII in names", MaxMembers)
)

// MaxMembers is how many members a body may have, those of objects within it
// included, how many objects, how many lists, how many items in a list that a field
// takes, and how many backslashes and bytes that are not ASCII in names that may be a
// field's. No sender's body comes near. What a decoder does for each of them, mostly to
// find a name that is given twice, is what makes a body cost more than its length.
const MaxMembers = 1000

// hasTooMany counts the colons outside of strings, one for each member of what is JSON,
// the objects, and the lists, which may be empty.
func hasTooMany(text string) bool {
	if len(text) < 2*MaxMembers { // as almost every body: each of them has two signs at least
		return false
	}
	if strings.Count(text, ":") <= MaxMembers && strings.Count(text, "{") <= MaxMembers && strings.Count(text, "[") <= MaxMembers {
		return false
	}
	var members, objects, lists int
	inString := false
	for i := 0; i < len(text) && max(members, objects, lists) <= MaxMembers; i++ {
		switch c := text[i]; {
		case c == '"':
			inString = !inString
		case c == '\\' && inString:
			i++
		case inString:
		case c == ':':
			members++
		case c == '{':
			objects++
		case c == '[':
			lists++
		}
	}
	return max(members, objects, lists) > MaxMembers
}

// decode reads the one JSON object that body is, and calls visit, if not nil, after
// each of its members.
func (l *layout) decode(body []byte, text string, v unsafe.Pointer, visit func(visited)) error {
	if hasTooMany(text) {
		return errTooMany
	}
	p := parsers.Get().(*parser)
	defer func() {
		p.body, p.text = bytes.Buffer{}, "" // dec keeps body until the next one, or until the pool is emptied
		parsers.Put(p)
	}()
	p.inNames = 0
	p.text, p.unicode, p.escapes = text, utf8.ValidString(text), strings.Contains(text, `\`)
	p.body = *bytes.NewBuffer(body)
	p.dec.Reset(&p.body, anyText)
	return explain(p.whole(v, l, visit))
}

func (p *parser) whole(v unsafe.Pointer, l *layout, visit func(visited)) error {
	if p.dec.PeekKind() != jsontext.KindBeginObject {
		return errUnexpected
	}
	if _, err := p.members(v, l, visit); err != nil {
		return err
	}
	if _, err := p.dec.ReadToken(); err != io.EOF {
		return cmp.Or(err, errUnexpected) // something follows the object
	}
	return nil
}

// explain says where a body stops being JSON. The decoder's own text would quote
// the body.
func explain(err error) error {
	if err == nil {
		return nil
	}
	syntax, ok := errors.AsType[*jsontext.SyntacticError](err)
	switch {
	case errors.Is(err, errAmbiguous), errors.Is(err, errTooMany):
		return err
	case errors.Is(err, jsontext.ErrDuplicateName):
		return errors.New("a name is given twice")
	case ok:
		return fmt.Errorf("%w (at byte %d)", errUnexpected, syntax.ByteOffset)
	default:
		return errUnexpected
	}
}

// members reads an object into a struct, and reports whether it holds all of it.
func (p *parser) members(v unsafe.Pointer, l *layout, visit func(visited)) (whole bool, err error) {
	if _, err := p.dec.ReadToken(); err != nil {
		return false, err
	}
	whole = true
	for p.dec.PeekKind() == jsontext.KindString {
		name, f, err := p.name(l)
		if err != nil {
			return false, err
		}
		m, err := p.value(v, f)
		if err != nil {
			return false, err
		}
		whole = whole && m.held
		if visit != nil {
			m.name = name
			visit(m)
		}
	}
	_, err = p.dec.ReadToken()
	return whole, err
}

// name reads a member's name, and finds its field, nil for an unknown name. It fails
// for a name that only looks like a field's.
func (p *parser) name(l *layout) (name []byte, f *field, err error) {
	quoted, err := p.dec.ReadValue()
	if err != nil {
		return nil, nil, err
	}
	name = quoted[1 : len(quoted)-1]
	if f = l.field(name); f != nil {
		return name, f, nil
	}
	if unusual := countUnusual(name); unusual > 0 {
		if p.inNames += unusual; p.inNames > MaxMembers {
			return nil, nil, errTooMany
		}
		name, _ = jsontext.AppendUnquote(nil, quoted) // what is not Unicode is found with replacement characters
		f = l.field(name)
	}
	if f == nil && l.looksLikeField(name) {
		return nil, nil, errAmbiguous
	}
	return name, f, nil
}

// countUnusual counts the backslashes and the bytes that are not ASCII.
func countUnusual(name []byte) (n int) {
	for _, c := range name {
		if c == '\\' || c >= utf8.RuneSelf {
			n++
		}
	}
	return n
}

// simple reads any value and returns its JSON text.
func (p *parser) simple() (string, error) {
	value, err := p.dec.ReadValue()
	end := int(p.dec.InputOffset())
	return p.text[end-len(value) : end], err
}

// value reads a value into the field f of the struct at v. A field holds all of what it
// has a place for, and null is nothing to hold.
func (p *parser) value(v unsafe.Pointer, f *field) (m visited, err error) {
	if f != nil && f.elem != nil {
		before := int(p.dec.InputOffset())
		switch kind := p.dec.PeekKind(); {
		case kind == jsontext.KindBeginArray && f.kind == reflect.Slice:
			m.held, err = p.slice(v, f)
			return p.since(before, m.held), err
		case kind == jsontext.KindBeginObject && f.kind == reflect.Struct:
			m.held, err = p.members(f.in(v), f.elem, nil)
			return p.since(before, m.held), err
		}
	}
	text, err := p.simple()
	if err != nil {
		return m, err
	}
	m.end = int(p.dec.InputOffset())
	m.start = m.end - len(text)
	m.held = f != nil && (text == "null" || p.set(v, f, text))
	return m, nil
}

// since is what was read since the decoder was at before, up to the value's first byte.
func (p *parser) since(before int, held bool) visited {
	end := int(p.dec.InputOffset())
	text := strings.TrimLeft(p.text[before:end], ": \t\r\n")
	return visited{start: end - len(text), end: end, held: held}
}

// set sets a field to a value, and reports whether it takes it.
func (p *parser) set(v unsafe.Pointer, f *field, value string) bool {
	switch f.kind {
	case reflect.String:
		if value[0] != '"' && !isNumber(value) {
			return false
		}
		text, ok := p.unquote(value)
		if ok {
			*(*string)(f.in(v)) = text
		}
		return ok
	case reflect.Bool:
		if value != "true" && value != "false" {
			return false
		}
		*(*bool)(f.in(v)) = value == "true"
	case reflect.Int64:
		n, err := strconv.ParseInt(value, 10, 64)
		if err != nil {
			return false
		}
		*(*int64)(f.in(v)) = n
	case reflect.Slice:
		if f.elem != nil {
			return false
		}
		*(*[]byte)(f.in(v)) = []byte(value)
	default:
		return false
	}
	return true
}

// slice reads an array into f, a slice of structs, leaving out what is no object.
func (p *parser) slice(v unsafe.Pointer, f *field) (whole bool, err error) {
	if _, err := p.dec.ReadToken(); err != nil {
		return false, err
	}
	slice := reflect.NewAt(f.of, f.in(v)).Elem()
	whole = true
	items := 0
	for kind := p.dec.PeekKind(); kind != jsontext.KindEndArray; kind = p.dec.PeekKind() {
		held := false
		if kind == jsontext.KindBeginObject {
			slice.Grow(1)
			slice.SetLen(slice.Len() + 1)
			held, err = p.members(slice.Index(slice.Len()-1).Addr().UnsafePointer(), f.elem, nil)
		} else {
			_, err = p.dec.ReadValue()
		}
		if err != nil {
			return false, err
		}
		whole = whole && held
		if items++; items > MaxMembers {
			return false, errTooMany
		}
	}
	_, err = p.dec.ReadToken()
	return whole, err
}

func isNumber(value string) bool {
	return value[0] == '-' || '0' <= value[0] && value[0] <= '9'
}

// unquote returns the text of a JSON string, and a number's literal text. It fails
// for a string that is not Unicode.
func (p *parser) unquote(value string) (text string, ok bool) {
	if value[0] != '"' {
		return value, true
	}
	if p.unicode && !p.escapes {
		return value[1 : len(value)-1], true
	}
	return unescape(value)
}

// unescape returns the text of a JSON string, whose syntax was checked when it was read.
func unescape(quoted string) (text string, ok bool) {
	if !strings.Contains(quoted, `\`) {
		text = quoted[1 : len(quoted)-1]
		return text, utf8.ValidString(text)
	}
	b, err := jsontext.AppendUnquote(make([]byte, 0, 128), quoted) // most names and texts stay on the stack
	return string(b), err == nil
}
