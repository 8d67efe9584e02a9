package docs

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/format"
	"go/printer"
	"go/token"
	"strconv"
	"strings"
)

// compileOnly is the note of a complete program that cannot run here, because
// it needs a database server, say: <!-- docs: compile only -->.
const compileOnly = "compile only"

// testedProgram turns a complete program that serves HTTP into a package whose
// test plays midhooktest.TestHandler against it. The program's main runs as it
// is, but ListenAndServe hands its handler to the test instead of listening, and
// the program's fulfil, if it has one, counts. ok is false for a program that
// does not serve.
func (s *snippet) testedProgram() (files map[string]string, ok bool, err error) {
	if !s.complete() || s.note == compileOnly || s.file.Name.Name != "main" || isTest(s.file) {
		return nil, false, nil
	}
	rewritten, err := newSnippetFile(s)
	if err != nil {
		return nil, false, err
	}
	var fulfil *ast.FuncDecl
	for _, decl := range rewritten.file.Decls {
		if function, ok := decl.(*ast.FuncDecl); ok && function.Recv == nil {
			switch function.Name.Name {
			case "main":
				function.Name = ast.NewIdent("programMain")
			case "fulfil":
				fulfil = function
				function.Name = ast.NewIdent("programFulfil")
			}
		}
	}
	if !captureServers(rewritten.file) {
		return nil, false, nil
	}
	counting, err := countingFulfil(s, fulfil)
	if err != nil {
		return nil, false, err
	}
	var program bytes.Buffer
	if err := printer.Fprint(&program, rewritten.fset, rewritten.file); err != nil {
		return nil, false, err
	}
	// The import stays used when ListenAndServe was its only use.
	if importsPath(rewritten.file, "net/http") {
		program.WriteString("\nvar _ = http.StatusOK\n")
	}
	source, err := format.Source([]byte(counting))
	if err != nil {
		return nil, false, err
	}
	return map[string]string{"program.go": program.String(), "program_test.go": string(source)}, true, nil
}

// newSnippetFile parses the block once more, to be changed.
func newSnippetFile(s *snippet) (*snippet, error) {
	again := &snippet{block: s.block, files: map[string]string{}}
	return again, again.addProgram("")
}

func importsPath(file *ast.File, path string) bool {
	for _, spec := range file.Imports {
		if spec.Path.Value == `"`+path+`"` && spec.Name == nil {
			return true
		}
	}
	return false
}

// captureServers rewrites the calls that would listen, and reports whether there
// was one.
func captureServers(file *ast.File) (found bool) {
	ast.Inspect(file, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok {
			return true
		}
		selector, ok := call.Fun.(*ast.SelectorExpr)
		if !ok || selector.Sel.Name != "ListenAndServe" && selector.Sel.Name != "ListenAndServeTLS" {
			return true
		}
		found = true
		if pkg, ok := selector.X.(*ast.Ident); ok && pkg.Name == "http" {
			handler := call.Args[len(call.Args)-1]
			call.Fun, call.Args = ast.NewIdent("captureHandler"), []ast.Expr{handler}
			return true
		}
		call.Fun, call.Args = ast.NewIdent("captureServer"), []ast.Expr{selector.X}
		return true
	})
	return found
}

// pathLiterals are the paths among a program's string literals, as in
// "POST /payments/notification", quoted.
func pathLiterals(file *ast.File) []string {
	paths := []string{`"/"`}
	ast.Inspect(file, func(n ast.Node) bool {
		literal, ok := n.(*ast.BasicLit)
		if !ok || literal.Kind != token.STRING {
			return true
		}
		text, err := strconv.Unquote(literal.Value)
		if err != nil {
			return true
		}
		if path := text[strings.LastIndex(text, " ")+1:]; strings.HasPrefix(path, "/") && len(path) > 1 {
			paths = append(paths, strconv.Quote(path))
		}
		return true
	})
	return paths
}

// countingFulfil is the test, with a fulfil in place of the program's: of the
// same parameters, it counts the order and succeeds.
func countingFulfil(s *snippet, fulfil *ast.FuncDecl) (string, error) {
	test := strings.NewReplacer(
		"PATHS", strings.Join(pathLiterals(s.file), ", "),
		"COUNTS", strconv.FormatBool(fulfil != nil),
	).Replace(programTest)
	if fulfil == nil {
		return strings.Replace(test, "FULFIL", "func fulfilled(orderID string) int { return 0 }", 1), nil
	}
	wrong := fmt.Errorf("%s: func fulfil must be (context.Context, string) error, or with a *midhook.Notification, so that the test can count", s.block)
	if fulfil.Type.Params.NumFields() != 2 || fulfil.Type.Results.NumFields() != 1 {
		return "", wrong
	}
	var parameter bytes.Buffer
	if err := printer.Fprint(&parameter, token.NewFileSet(), fulfil.Type.Params.List[len(fulfil.Type.Params.List)-1].Type); err != nil {
		return "", err
	}
	order := ""
	switch parameter.String() {
	case "string":
		order = "order"
	case "*midhook.Notification":
		order = "order.OrderID"
	default:
		return "", wrong
	}
	function := fmt.Sprintf(`
var shipped sync.Map

func fulfil(_ context.Context, order %s) error {
	times, _ := shipped.LoadOrStore(%s, new(atomic.Int64))
	times.(*atomic.Int64).Add(1)
	return nil
}

func fulfilled(orderID string) int {
	times, ok := shipped.Load(orderID)
	if !ok {
		return 0
	}
	return int(times.(*atomic.Int64).Load())
}`, parameter.String(), order)
	return strings.Replace(test, "FULFIL", function, 1), nil
}

// programTest is a test of one program. Every scenario gets a main of its own,
// which is started outside of the scenario's bubble and stays until the test's
// process ends. What a program keeps in package variables outlives a scenario, and
// does no harm: each scenario has orders of its own.
const programTest = `package main

import (
	"context"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/midhook/midhook"
	"github.com/midhook/midhook/midhooktest"
)

const programKey = "SB-Mid-server-test-key-0001"

var (
	_        *midhook.Notification
	_        sync.Map
	_        context.Context
	_        atomic.Int64
	captured = make(chan http.Handler)
)

func captureServer(s *http.Server) error { return captureHandler(s.Handler) }

func captureHandler(h http.Handler) error {
	if h == nil {
		h = http.DefaultServeMux
	}
	captured <- h
	select {}
}

FULFIL

func startProgram(t *testing.T) http.Handler {
	t.Helper()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		programMain()
	}()
	select {
	case h := <-captured:
		return h
	case <-ended:
		t.Fatal("main returned without serving")
	case <-time.After(time.Minute):
		t.Fatal("main serves nothing within a minute")
	}
	return nil
}

func TestProgram(t *testing.T) {
	os.Setenv("MIDTRANS_SERVER_KEY", programKey)
	var path string
	handlers := make(chan http.Handler, 4*len(midhooktest.Scenarios()))
	for range cap(handlers) {
		http.DefaultServeMux = http.NewServeMux()
		h := startProgram(t)
		if path == "" {
			path = notificationPath(t, h)
		}
		handlers <- h
	}
	midhooktest.TestHandler(t, func(t *testing.T) midhooktest.Subject {
		subject := midhooktest.Subject{
			Engine: &midhooktest.Engine{Handler: <-handlers, URL: "https://shop.example" + path, Secret: programKey},
		}
		if countsFulfilled {
			subject.Fulfilled = fulfilled
		}
		return subject
	})
}

// notificationPath finds where the program takes notifications: where a body
// that nobody signed is refused as such.
func notificationPath(t *testing.T, h http.Handler) string {
	t.Helper()
	for _, path := range []string{PATHS} {
		w := &status{header: http.Header{}}
		request := midhooktest.NewRequest(midhooktest.Sample("gopay"), "SB-Mid-server-another-key-0002")
		request.URL.Path = path
		request.RequestURI = path
		h.ServeHTTP(w, request)
		if w.code == http.StatusForbidden {
			return path
		}
	}
	t.Fatal("no path among its string literals answers 403 to a forged notification")
	return ""
}

type status struct {
	header http.Header
	code   int
}

func (s *status) Header() http.Header { return s.header }
func (s *status) WriteHeader(code int) {
	if s.code == 0 {
		s.code = code
	}
}
func (s *status) Write(p []byte) (int, error) { s.WriteHeader(http.StatusOK); return len(p), nil }

const countsFulfilled = COUNTS
`
