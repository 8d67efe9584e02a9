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
type Table struct {
	of     reflect.Type
	fields map[string]field
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
	t := &Table{of: of, fields: map[string]field{}}
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
	}
	return t
}

// Decode reads body into the struct that v points to. text is the body as a
// string: what is read is pieces of it, so that a field costs no copy. member, if
// not nil, is called with the name of each member that is not null.
//
// It fails for anything but one JSON object, and where a name is given twice in
// any object of it. The error quotes nothing of the body.
func (t *Table) Decode(body []byte, text string, v any, member func(name string)) error {
	target := reflect.ValueOf(v).Elem()
	return read(body, text, func(p *parser, name string) error {
		_, err := p.field(target, t.fields[name])
		if member != nil && !p.null {
			member(name)
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
		start := p.dec.InputOffset()
		whole, err := p.field(scratch, t.fields[name])
		if name == path[0] && (!whole || len(path) > 1) {
			outer = strings.TrimLeft(text[start:p.dec.InputOffset()], ": \t\r\n")
			inner, ok = t.fields[name], true
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

// parser reads one body.
type parser struct {
	dec  jsontext.Decoder
	body bytes.Buffer
	text string
	lax  bool // strings may be no Unicode
	null bool // what field read last
}

var (
	parsers       = sync.Pool{New: func() any { return new(parser) }}
	nothing       = strings.NewReader("")
	errUnexpected = errors.New("not one JSON object")
)

// read calls visit at each member of the one JSON object that body is. visit
// must read the member's value, and is called again for all of them if there is a
// string that is no Unicode, for which few need the time it takes to look.
func read(body []byte, text string, visit func(p *parser, name string) error) error {
	p := parsers.Get().(*parser)
	defer func() {
		p.dec.Reset(nothing)
		p.body, p.text = bytes.Buffer{}, ""
		parsers.Put(p)
	}()
	p.text, p.lax = text, false
	err := p.whole(body, visit)
	if _, ok := errors.AsType[*jsontext.SyntacticError](err); ok {
		p.lax = true
		err = p.whole(body, visit, jsontext.AllowInvalidUTF8(true))
	}
	return explain(err)
}

func (p *parser) whole(body []byte, visit func(p *parser, name string) error, opts ...jsontext.Options) error {
	p.body = *bytes.NewBuffer(body)
	p.dec.Reset(&p.body, opts...)
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

// explain says where a body stops being JSON. The decoder's own text would quote
// the body.
func explain(err error) error {
	if err == nil {
		return nil
	}
	syntax, ok := errors.AsType[*jsontext.SyntacticError](err)
	switch {
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
		member, ok := unquote(name, p.lax)
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
		held, err := p.field(v, t.fields[name])
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
		text, ok := unquote(value, p.lax)
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

// maxItems bounds the memory that a body can make of "refunds":[{},{},…].
const maxItems = 1000

// slice reads an array into a slice of structs, leaving out what is no object.
func (p *parser) slice(slice reflect.Value, elem *Table) (whole bool, err error) {
	if _, err := p.dec.ReadToken(); err != nil {
		return false, err
	}
	whole = true
	slice.SetZero() // of what was read before, see read
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
	if text, ok = unquote(string(value), true); !ok {
		text = ""
	}
	return text, ok
}

// unquote returns the text of a JSON string, and a number's literal text. It fails
// for a string that is not Unicode, if that is possible.
func unquote(value string, lax bool) (text string, ok bool) {
	if value[0] != '"' {
		return value, true
	}
	if !strings.Contains(value, `\`) {
		text = value[1 : len(value)-1]
		return text, !lax || utf8.ValidString(text)
	}
	b, err := jsontext.AppendUnquote(nil, value) // its syntax was checked when it was read
	return string(b), err == nil
}
