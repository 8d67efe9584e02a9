package main

import (
	"go/parser"
	"go/token"
	"slices"
	"strings"
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

const lua = 'local a = b + 1 and math.max(a, 2) -- this or that'

var sql = f('UPDATE t SET a = 1 WHERE b = 2 AND c < 3')
`
	content, pkg, mutants, err := mutate("p.go", []byte(strings.ReplaceAll(source, "'", "`")), 1)
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
		"`UPDATE t SET a = 1 WHERE b = 2 AND c < 3` => `UPDATE t SET a = 1 WHERE b <> 2 AND c < 3`",
		"`UPDATE t SET a = 1 WHERE b = 2 AND c < 3` => `UPDATE t SET a = 1 WHERE b = 2 AND c <= 3`",
		"`UPDATE t SET a = 1 WHERE b = 2 AND c < 3` => `UPDATE t SET a = 1 WHERE b = 2 OR c < 3`",
		"`local a = b + 1 and math.max(a, 2) -- this or that` => `local a = b + 1 and math.min(a, 2) -- this or that`",
		"`local a = b + 1 and math.max(a, 2) -- this or that` => `local a = b + 1 or math.max(a, 2) -- this or that`",
		"`local a = b + 1 and math.max(a, 2) -- this or that` => `local a = b - 1 and math.max(a, 2) -- this or that`",
	}
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if _, err := parser.ParseFile(token.NewFileSet(), "p.go", content, 0); err != nil {
		t.Errorf("%v in\n%s", err, content)
	}
}
