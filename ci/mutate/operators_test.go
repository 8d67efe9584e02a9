package main

import (
	"go/parser"
	"go/token"
	"slices"
	"testing"
)

// Rule: each operator finds what it is for, and what comes out is Go.
func TestOperators(t *testing.T) {
	const source = `package p

func f(a, b int, ok bool, err error) (bool, error) {
	const c = 1 + 1
	if a < b && ok {
		a = b + 1
		a++
	}
	if ok {
		println(a)
		defer println(b)
	}
	switch {
	case ok:
		return true, nil
	}
	return a == b, err
}
`
	content, pkg, mutants, err := mutate("p.go", []byte(source), 1)
	if err != nil || pkg != "p" {
		t.Fatal(pkg, err)
	}
	var got []string
	for _, m := range mutants {
		got = append(got, m.before+" => "+m.after)
	}
	slices.Sort(got)
	want := []string{
		"a < b && ok => a < b || ok",
		"a < b => a <= b",
		"a = b + 1 => nothing",
		"a == b => a != b",
		"a++ => nothing",
		"b + 1 => b - 1",
		"defer println(b) => nothing",
		"ok => !(ok)", "ok => !(ok)",
		"println(a) => nothing",
		"return err => return nil",
		"return true => return !true",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if _, err := parser.ParseFile(token.NewFileSet(), "p.go", content, 0); err != nil {
		t.Errorf("%v in\n%s", err, content)
	}
}
