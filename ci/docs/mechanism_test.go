package docs

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func made(t *testing.T, text string) page {
	t.Helper()
	p, err := parsePage("made.md", strings.ReplaceAll(text, "'''", "```"))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// A problem is told with the page and the line on which a reader finds it.
func TestProblemsAreNamed(t *testing.T) {
	root, _ := repository(t)
	for _, test := range []struct{ name, text, want string }{
		{"an unknown name among statements", "# A\n\n'''go\nn, err := midhook.Parse(nil)\nnothing(n)\n'''\n", "made.md:5: undefined: nothing"},
		{"an unknown name in a declaration", "'''go\nfunc f() {\n\tnothing()\n}\n'''\n", "made.md:3: undefined: nothing"},
		{"an unknown name in a program", "'''go\npackage main\n\nfunc main() {\n\tnothing()\n}\n'''\n", "made.md:5: undefined: nothing"},
		{"an unknown name in a test", "'''go\nfunc TestA(t *testing.T) {\n\tnothing()\n}\n'''\n", "made.md:3: undefined: nothing"},
		{"an unused import of a program", "'''go\npackage main\n\nimport \"os\"\n\nfunc main() {}\n'''\n", `made.md:4: "os" imported and not used`},
		{"an ellipsis", "text\n'''go\nx := 1\n…\n'''\n", "made.md:4: illegal character U+2026 '…'"},
		{"a call with wrong arguments", "'''go\nhook, err := midhook.New(1)\n'''\n", "made.md:2: cannot use 1"},
		{"an indented fence", "- item\n  '''go\n  nothing()\n  '''\n", "made.md:3: undefined: nothing"},
	} {
		t.Run(test.name, func(t *testing.T) {
			problems, _ := checkSnippets(t, root, []page{made(t, test.text)})
			got := strings.Join(problems["made.md"], "\n")
			if !strings.HasPrefix(got, test.want) {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

// What a merchant would have written may be missing from a fragment.
func TestFragmentsCompile(t *testing.T) {
	root, _ := repository(t)
	problems, compiled := checkSnippets(t, root, []page{made(t, `
'''go
hook, err := midhook.New(os.Getenv("MIDTRANS_SERVER_KEY"))
if err != nil {
	log.Fatal(err)
}
mux.Handle("POST /midtrans", hook.HandlerFunc(func(ctx context.Context, n *midhook.Notification) error {
	if !n.Paid() {
		return nil
	}
	return fulfil(ctx, n.OrderID)
}))
'''

'''go
// fulfil is the page's own here.
func fulfil(n *midhook.Notification) int { return len(n.OrderID) }

var _ = fulfil(nil)
'''

'''go
import "slices"

type order struct{ Lines []string }

func (o order) sorted() []string { return slices.Sorted(slices.Values(o.Lines)) }
'''

'''sh
not Go
'''
`)})
	if len(problems["made.md"]) > 0 || len(compiled) != 3 {
		t.Errorf("%d blocks, problems: %q", len(compiled), problems)
	}
}

const shop = `
'''go
package main

import (
	"context"
	"log"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/midhook/midhook"
)

var payments sync.Map

func fulfil(ctx context.Context, n *midhook.Notification) error {
	log.Print("shipped ", n.OrderID)
	return nil
}

func main() {
	hook, err := midhook.New(os.Getenv("MIDTRANS_SERVER_KEY"))
	if err != nil {
		log.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("POST /payments", hook.HandlerFunc(func(ctx context.Context, n *midhook.Notification) error {
		if !n.Paid() {
			return nil
		}
		if _, done := payments.LoadOrStore(n.OrderID, true); done {
			return nil
		}
		return fulfil(ctx, n)
	}))
	server := &http.Server{Addr: ":8080", Handler: mux, ReadTimeout: 10 * time.Second}
	log.Fatal(server.ListenAndServe())
}
'''
`

func playMade(t *testing.T, text string) (out string, err error) {
	t.Helper()
	root, _ := repository(t)
	all, problems := snippets(root, made(t, text), stubs)
	if len(all) != 1 || len(problems) > 0 {
		t.Fatalf("%d blocks, %q", len(all), problems)
	}
	files, serves, err := all[0].testedProgram()
	if err != nil || !serves {
		t.Fatalf("serves: %v, %v", serves, err)
	}
	return playProgram(t, root, all[0].dir, files)
}

func TestProgramThatKeepsTheMoney(t *testing.T) {
	if out, err := playMade(t, shop); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// A program that ships a card payment at its capture and again at its
// settlement does not pass for an example.
func TestProgramThatShipsTwice(t *testing.T) {
	twice := strings.Replace(shop, "_, done := payments.LoadOrStore(n.OrderID, true); done", "_, done := payments.LoadOrStore(n.IdempotencyKey(), true); done", 1)
	out, err := playMade(t, twice)
	if err == nil || !strings.Contains(out, "FAIL: TestProgram/capture-then-settlement") {
		t.Errorf("%v\n%s", err, out)
	}
}

// A program that needs what is not here says so, and one that serves nothing has
// nothing to play against.
func TestProgramsThatAreNotPlayed(t *testing.T) {
	root, _ := repository(t)
	for _, text := range []string{
		"<!-- docs: compile only -->\n" + shop,
		"'''go\npackage main\n\nfunc main() {}\n'''\n",
		"'''go\nhook, err := midhook.New(\"\")\n'''\n",
	} {
		all, problems := snippets(root, made(t, text), stubs)
		if len(all) != 1 || len(problems) > 0 {
			t.Fatalf("%d blocks, %q", len(all), problems)
		}
		if _, serves, err := all[0].testedProgram(); serves || err != nil {
			t.Errorf("played: %v, %v: %s", serves, err, text)
		}
	}
}

func TestBrokenLinksAreNamed(t *testing.T) {
	root := t.TempDir()
	for _, name := range []string{"there.go", "made.md"} {
		if err := os.WriteFile(filepath.Join(root, name), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	p := made(t, "# One `two` three!\n\n## Same\n\n## Same\n\n"+
		"[a](there.go) [b](#one-two-three) [c](#same-1) [d](https://example.com/#x) [e](../../security)\n"+
		"`[not](a link)`\n'''\n[not](one.md)\n'''\n"+
		"[f](missing.go) [`g`](#four) [h](made.md#same-2) [i](/there.go)\n[ref]: gone.md\n<img src=\"no.png\">\n")
	got := strings.Join(brokenLinks(root, []page{p}), "\n")
	want := strings.Join([]string{
		"made.md:12: missing.go: no such file",
		"made.md:12: #four: no heading with this anchor in made.md",
		"made.md:12: made.md#same-2: no heading with this anchor in made.md",
		"made.md:12: /there.go: an absolute path: links are relative to their page",
		"made.md:13: gone.md: no such file",
		"made.md:14: no.png: no such file",
	}, "\n")
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestBlockWithoutEnd(t *testing.T) {
	if _, err := parsePage("made.md", "text\n```go\nx\n"); err == nil || !strings.HasPrefix(err.Error(), "made.md:2:") {
		t.Error(err)
	}
}
