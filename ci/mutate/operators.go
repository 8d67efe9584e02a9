package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"regexp"
	"slices"
	"strings"
)

// The operators:
//
//   - a comparison becomes its neighbour: < and <=, > and >=, == and !=
//   - && becomes ||, and || becomes &&
//   - a condition without either is negated, as is a returned true or false
//   - x+1 becomes x-1 and the reverse, also for len
//   - a returned err becomes nil
//   - a statement is left out: a call, an assignment, ++ and --, a defer
//   - in a raw string, which may be SQL or Lua, a comparison becomes its neighbour,
//     "and" becomes "or", + becomes -, max becomes min, and the reverse

// mutant is one change, by the place where it is.
type mutant struct {
	number int
	place  token.Position
	before string
	after  string
}

func (m mutant) String() string {
	if m.number == 0 {
		return "the tests without any mutant"
	}
	return fmt.Sprintf("%s:%d: %s => %s", m.place.Filename, m.place.Line, m.before, m.after)
}

// helper is what the changed files call; %s are the package's name and the variable's.
const helper = `package %s

import (
	"os"
	"strconv"
)

var theMutant, _ = strconv.Atoi(os.Getenv(%q))

func isMutant(n int) bool { return n == theMutant }

func pickMutant[T any](n int, a, b T) T {
	if isMutant(n) {
		return b
	}
	return a
}

func pickMutantText(text string, first int, changed ...string) string {
	if n := theMutant - first; 0 <= n && n < len(changed) {
		return changed[n]
	}
	return text
}
`

// words are what changes in a raw string. A single = is a comparison in SQL only.
var words = regexp.MustCompile(` (<=?|>=?|==|~=|<>|=|and|or|AND|OR|\+|-) |math\.(max|min)\(|\b(MAX|MIN|greatest|least)\(`)

var textNeighbour = map[string]string{
	"<": "<=", "<=": "<", ">": ">=", ">=": ">", "==": "~=", "~=": "==", "=": "<>", "<>": "=",
	"and": "or", "or": "and", "AND": "OR", "OR": "AND", "+": "-", "-": "+",
	"max": "min", "min": "max", "MAX": "MIN", "MIN": "MAX", "greatest": "least", "least": "greatest",
}

// clause begins the part of an SQL statement in which = compares or assigns.
var clause = regexp.MustCompile(`\b(SET|WHERE|ON|WHEN|SELECT|AND|OR)\b`)

var neighbour = map[token.Token]token.Token{
	token.LSS: token.LEQ, token.LEQ: token.LSS, token.GTR: token.GEQ, token.GEQ: token.GTR,
	token.EQL: token.NEQ, token.NEQ: token.EQL, token.LAND: token.LOR, token.LOR: token.LAND,
}

// mutator collects the changes of one file, as insertions into its text.
type mutator struct {
	fset    *token.FileSet
	source  []byte
	first   int
	mutants []mutant
	inserts []insert
}

type insert struct {
	at    int
	width int // of the node that it belongs to: where two begin, the wider comes first
	opens bool
	text  string
}

// mutate returns a file with all its mutants in it, numbered from first on.
func mutate(name string, source []byte, first int) (content []byte, pkg string, mutants []mutant, err error) {
	m := &mutator{fset: token.NewFileSet(), source: slices.Clone(source), first: first}
	file, err := parser.ParseFile(m.fset, name, source, parser.SkipObjectResolution)
	if err != nil {
		return nil, "", nil, err
	}
	for _, d := range file.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			if d.Body != nil {
				ast.Inspect(d.Body, m.visit)
			}
		case *ast.GenDecl:
			m.texts(d)
		}
	}
	return m.apply(), file.Name.Name, m.mutants, nil
}

func (m *mutator) visit(n ast.Node) bool {
	switch n := n.(type) {
	case *ast.GenDecl:
		return n.Tok != token.CONST
	case *ast.BinaryExpr:
		m.binary(n)
	case *ast.BasicLit:
		m.rawString(n)
	case *ast.IfStmt:
		m.condition(n.Cond)
	case *ast.ForStmt:
		if n.Cond != nil {
			m.condition(n.Cond)
		}
	case *ast.SwitchStmt:
		if n.Tag == nil {
			for _, clause := range n.Body.List {
				for _, e := range clause.(*ast.CaseClause).List {
					m.condition(e)
				}
			}
		}
	case *ast.ReturnStmt:
		for i, e := range n.Results {
			m.result(e, i == len(n.Results)-1)
		}
	case *ast.BlockStmt:
		for _, s := range n.List {
			m.statement(s)
		}
	case *ast.CaseClause:
		for _, s := range n.Body {
			m.statement(s)
		}
	}
	return true
}

// texts changes the raw strings of a declaration outside of functions. A constant
// becomes a variable for it.
func (m *mutator) texts(d *ast.GenDecl) {
	if d.Tok != token.VAR && d.Tok != token.CONST {
		return
	}
	before := len(m.mutants)
	for _, spec := range d.Specs {
		for _, value := range spec.(*ast.ValueSpec).Values {
			ast.Inspect(value, func(n ast.Node) bool {
				if literal, ok := n.(*ast.BasicLit); ok {
					m.rawString(literal)
				}
				_, isFunc := n.(*ast.FuncLit)
				return !isFunc
			})
		}
	}
	if d.Tok == token.CONST && len(m.mutants) > before {
		copy(m.source[m.offset(d.TokPos):], "var  ")
	}
}

func (m *mutator) rawString(n *ast.BasicLit) {
	text := n.Value
	if n.Kind != token.STRING || text[0] != '`' {
		return
	}
	var changed []string
	first := m.first + len(m.mutants)
	isLua := strings.Contains(text, "local ")
	for at := 0; ; {
		found := words.FindStringSubmatchIndex(text[at:])
		if found == nil {
			break
		}
		group := 2
		for found[group] < 0 {
			group += 2
		}
		from, to := at+found[group], at+found[group+1]
		at = to // the space after it may come before the next
		word := text[from:to]
		if clauses := clause.FindAllString(text[:from], -1); word == "=" && (isLua || len(clauses) == 0 || clauses[len(clauses)-1] == "SET") {
			continue // an assignment
		}
		if strings.Contains(text[strings.LastIndexByte(text[:from], '\n')+1:from], "-- ") {
			continue // a comment
		}
		other := text[:from] + textNeighbour[word] + text[to:]
		changed = append(changed, other)
		line := func(s string) string {
			begin, end := strings.LastIndexByte(s[:from], '\n')+1, len(s)
			if n := strings.IndexByte(s[from:], '\n'); n >= 0 {
				end = from + n
			}
			return s[begin:end]
		}
		number := m.add(n, line(text), line(other))
		m.mutants[number-m.first].place.Line += strings.Count(text[:from], "\n")
	}
	if changed != nil {
		m.wrap(n, "pickMutantText(", fmt.Sprintf(", %d, %s)", first, strings.Join(changed, ", ")))
	}
}

func (m *mutator) text(n ast.Node) string {
	return string(m.source[m.offset(n.Pos()):m.offset(n.End())])
}

func (m *mutator) offset(p token.Pos) int { return m.fset.Position(p).Offset }

func (m *mutator) add(n ast.Node, before, after string) int {
	short := func(s string) string { return strings.Join(strings.Fields(s), " ") }
	number := m.first + len(m.mutants)
	m.mutants = append(m.mutants, mutant{number, m.fset.Position(n.Pos()), short(before), short(after)})
	return number
}

func (m *mutator) wrap(n ast.Node, before, after string) {
	from, to := m.offset(n.Pos()), m.offset(n.End())
	m.inserts = append(m.inserts, insert{from, to - from, true, before}, insert{to, to - from, false, after})
}

func (m *mutator) binary(n *ast.BinaryExpr) {
	x, y := m.text(n.X), m.text(n.Y)
	if other, ok := neighbour[n.Op]; ok {
		changed := x + " " + other.String() + " " + y
		number := m.add(n, m.text(n), changed)
		m.wrap(n, fmt.Sprintf("(isMutant(%d) && (%s) || !isMutant(%d) && (", number, changed, number), "))")
		return
	}
	if (n.Op == token.ADD || n.Op == token.SUB) && (isNumber(n.X) || isNumber(n.Y)) {
		other := token.SUB
		if n.Op == token.SUB {
			other = token.ADD
		}
		changed := x + " " + other.String() + " " + y
		number := m.add(n, m.text(n), changed)
		m.wrap(n, fmt.Sprintf("pickMutant(%d, ", number), ", "+changed+")")
	}
}

func isNumber(e ast.Expr) bool {
	switch e := e.(type) {
	case *ast.BasicLit:
		return e.Kind == token.INT
	case *ast.CallExpr:
		f, ok := e.Fun.(*ast.Ident)
		return ok && f.Name == "len"
	}
	return false
}

func (m *mutator) condition(e ast.Expr) {
	if _, ok := e.(*ast.BinaryExpr); ok {
		return
	}
	number := m.add(e, m.text(e), "!("+m.text(e)+")")
	m.wrap(e, fmt.Sprintf("(isMutant(%d) != (", number), "))")
}

func (m *mutator) result(e ast.Expr, last bool) {
	name, ok := e.(*ast.Ident)
	switch {
	case !ok:
	case name.Name == "true" || name.Name == "false":
		number := m.add(e, "return "+name.Name, "return !"+name.Name)
		m.wrap(e, fmt.Sprintf("isMutant(%d) != ", number), "")
	case name.Name == "err" && last:
		number := m.add(e, "return err", "return nil")
		m.wrap(e, fmt.Sprintf("pickMutant[error](%d, ", number), ", nil)")
	}
}

func (m *mutator) statement(s ast.Stmt) {
	switch s := s.(type) {
	case *ast.AssignStmt:
		if s.Tok == token.DEFINE {
			return
		}
	case *ast.ExprStmt:
		if call, ok := s.X.(*ast.CallExpr); ok {
			if f, ok := call.Fun.(*ast.Ident); ok && f.Name == "panic" {
				return // what follows it may not compile
			}
		}
	case *ast.IncDecStmt, *ast.DeferStmt, *ast.SendStmt:
	default:
		return
	}
	number := m.add(s, m.text(s), "nothing")
	m.wrap(s, fmt.Sprintf("if !isMutant(%d) { ", number), " }")
}

// apply puts the insertions into the text. Of two at one place those of the inner node
// are nearer to it.
func (m *mutator) apply() []byte {
	slices.SortStableFunc(m.inserts, func(a, b insert) int {
		switch {
		case a.at != b.at:
			return a.at - b.at
		case a.opens != b.opens && a.opens:
			return 1 // what ends here comes before what begins here
		case a.opens != b.opens:
			return -1
		case a.opens:
			return b.width - a.width
		default:
			return a.width - b.width
		}
	})
	var out []byte
	at := 0
	for _, i := range m.inserts {
		out = append(append(out, m.source[at:i.at]...), i.text...)
		at = i.at
	}
	return append(out, m.source[at:]...)
}
