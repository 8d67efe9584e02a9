package docs

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/format"
	"go/parser"
	"go/printer"
	"go/scanner"
	"go/token"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// snippet is a Go block of a page, made into a package of its own.
type snippet struct {
	block
	dir   string            // of the package, below snippets
	files map[string]string // its files by name
	file  *ast.File         // of a complete program
	fset  *token.FileSet
}

// complete reports whether the block is a whole file.
func (s snippet) complete() bool { return s.file != nil }

// snippets makes the Go blocks of a page into packages. What cannot be parsed
// is an error that names the page's line.
func snippets(root string, p page, stubs string) (all []snippet, problems []string) {
	for i, b := range p.blocks {
		if b.language != "go" {
			continue
		}
		s, err := newSnippet(root, b, i, stubs)
		if err != nil {
			problems = append(problems, parseProblems(b, err)...)
			continue
		}
		all = append(all, s)
	}
	return all, problems
}

func parseProblems(b block, err error) []string {
	list, ok := err.(scanner.ErrorList)
	if !ok {
		return []string{fmt.Sprintf("%s: %v", b, err)}
	}
	var problems []string
	for _, e := range list {
		problems = append(problems, fmt.Sprintf("%s:%d: %s", b.page, e.Pos.Line, e.Msg))
	}
	return problems
}

func newSnippet(root string, b block, index int, stubs string) (snippet, error) {
	name := strings.NewReplacer("/", "_", ".", "_", "-", "_").Replace(strings.TrimSuffix(b.page, ".md"))
	s := snippet{block: b, dir: fmt.Sprintf("%s_%d", name, index), files: map[string]string{}}
	position := fmt.Sprintf("//line %s:%d\n", filepath.Join(root, b.page), b.line)
	if strings.HasPrefix(strings.TrimSpace(withoutComments(b.code)), "package ") {
		return s, s.addProgram(position)
	}
	return s, s.addFragment(position, stubs)
}

// withoutComments drops the comments in front of a package clause.
func withoutComments(code string) string {
	for strings.HasPrefix(strings.TrimSpace(code), "//") {
		_, code, _ = strings.Cut(strings.TrimSpace(code), "\n")
	}
	return code
}

func (s *snippet) addProgram(position string) error {
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, "", position+s.code, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return err
	}
	s.file, s.fset = file, fset
	name := "program.go"
	if isTest(file) {
		name = "program_test.go"
	}
	s.files[name] = position + s.code
	return nil
}

func isTest(file *ast.File) bool {
	return strings.HasSuffix(file.Name.Name, "_test") || slices.ContainsFunc(file.Imports, func(i *ast.ImportSpec) bool {
		return i.Path.Value == `"testing"`
	})
}

// addFragment wraps declarations or statements: the packages that they name are
// imported, and what the merchant would have written comes from the stubs.
func (s *snippet) addFragment(position, stubs string) error {
	const clause = "package fragment; "
	declarations, err := parser.ParseFile(token.NewFileSet(), "", clause+"\n"+s.code, parser.SkipObjectResolution)
	body := "\n" + position + s.code
	if err != nil {
		used, statementsErr := s.usedVariables(position)
		if statementsErr != nil {
			return statementsErr
		}
		body = "\nfunc _() error {\n" + position + s.code + "\n" + used + "return nil\n}\n"
		declarations = nil
	}
	imports, err := importsFor(clause+body, declarations)
	if err != nil {
		return err
	}
	name := "fragment.go"
	if slices.ContainsFunc(imports, func(i string) bool { return i == `"testing"` }) {
		name = "fragment_test.go"
	}
	s.files[name] = clause + strings.Join(prefixEach("import ", imports), "; ") + body
	s.files[strings.Replace(name, "fragment", "stubs", 1)], err = stubsWithout(stubs, declarations)
	return err
}

func prefixEach(prefix string, list []string) []string {
	prefixed := make([]string, len(list))
	for i, s := range list {
		prefixed[i] = prefix + s
	}
	return prefixed
}

// usedVariables uses each variable that the statements declare at their top: a
// page shows how a value is made, and not always what it is good for.
func (s *snippet) usedVariables(position string) (string, error) {
	const head = "package fragment\nfunc _() error {\n"
	file, err := parser.ParseFile(token.NewFileSet(), "", head+position+s.code+"\n}", parser.SkipObjectResolution)
	if err != nil {
		return "", err
	}
	var used strings.Builder
	use := func(names ...ast.Expr) {
		for _, name := range names {
			if ident, ok := name.(*ast.Ident); ok && ident.Name != "_" {
				fmt.Fprintf(&used, "_ = %s\n", ident.Name)
			}
		}
	}
	for _, statement := range file.Decls[0].(*ast.FuncDecl).Body.List {
		switch statement := statement.(type) {
		case *ast.AssignStmt:
			if statement.Tok == token.DEFINE {
				use(statement.Lhs...)
			}
		case *ast.DeclStmt:
			for _, spec := range statement.Decl.(*ast.GenDecl).Specs {
				if spec, ok := spec.(*ast.ValueSpec); ok {
					for _, name := range spec.Names {
						use(name)
					}
				}
			}
		}
	}
	return used.String(), nil
}

// importsFor are the imports of what source names and does not import itself.
func importsFor(source string, declarations *ast.File) ([]string, error) {
	file, err := parser.ParseFile(token.NewFileSet(), "", source, 0)
	if err != nil {
		return nil, err
	}
	own := map[string]bool{}
	if declarations != nil {
		for _, spec := range declarations.Imports {
			own[strings.Trim(spec.Path.Value, `"`)] = true
		}
	}
	var imports []string
	for name := range selectedNames(file) {
		path, known := packages[name]
		if known && !own[path] {
			imports = append(imports, fmt.Sprintf("%q", path))
		}
	}
	slices.Sort(imports)
	return imports, nil
}

// selectedNames are the names X of selectors X.Y that the file does not declare
// itself.
func selectedNames(file *ast.File) map[string]bool {
	names := map[string]bool{}
	ast.Inspect(file, func(n ast.Node) bool {
		if selector, ok := n.(*ast.SelectorExpr); ok {
			if ident, ok := selector.X.(*ast.Ident); ok && ident.Obj == nil {
				names[ident.Name] = true
			}
		}
		return true
	})
	return names
}

// stubsWithout is the file of stubs less what a fragment declares itself.
func stubsWithout(stubs string, declarations *ast.File) (string, error) {
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, "stubs.go", stubs, 0)
	if err != nil {
		return "", err
	}
	declared := map[string]bool{}
	if declarations != nil {
		for _, decl := range declarations.Decls {
			for _, name := range declaredNames(decl) {
				declared[name] = true
			}
		}
	}
	var kept []ast.Decl
	for _, decl := range file.Decls {
		if general, ok := decl.(*ast.GenDecl); ok && general.Tok == token.IMPORT {
			continue
		}
		if !slices.ContainsFunc(declaredNames(decl), func(name string) bool { return declared[name] }) {
			kept = append(kept, decl)
		}
	}
	file.Decls = kept
	file.Name = ast.NewIdent("fragment")
	needed := selectedNames(file)
	var out bytes.Buffer
	out.WriteString("package fragment\n")
	for _, spec := range file.Imports {
		path := strings.Trim(spec.Path.Value, `"`)
		name := packageName(path)
		if spec.Name != nil {
			name = spec.Name.Name
		}
		if needed[name] {
			fmt.Fprintf(&out, "import %s %q\n", name, path)
		}
	}
	for _, decl := range kept {
		if err := printer.Fprint(&out, fset, decl); err != nil {
			return "", err
		}
		out.WriteString("\n")
	}
	source, err := format.Source(out.Bytes())
	return string(source), err
}

// packageName is the name that an import path leads one to expect.
func packageName(path string) string {
	return filepath.Base(majorVersion.ReplaceAllString(path, ""))
}

var majorVersion = regexp.MustCompile(`/v[0-9]+$`)

// declaredNames are what a declaration declares; of a method the name of its
// receiver's type.
func declaredNames(decl ast.Decl) []string {
	switch decl := decl.(type) {
	case *ast.FuncDecl:
		if decl.Recv == nil {
			return []string{decl.Name.Name}
		}
		receiver := decl.Recv.List[0].Type
		if star, ok := receiver.(*ast.StarExpr); ok {
			receiver = star.X
		}
		if ident, ok := receiver.(*ast.Ident); ok {
			return []string{ident.Name}
		}
	case *ast.GenDecl:
		var names []string
		for _, spec := range decl.Specs {
			switch spec := spec.(type) {
			case *ast.ValueSpec:
				for _, name := range spec.Names {
					names = append(names, name.Name)
				}
			case *ast.TypeSpec:
				names = append(names, spec.Name.Name)
			}
		}
		return names
	}
	return nil
}
