// Package docs checks the Markdown pages of the repository: their Go compiles,
// their complete programs pass midhooktest.TestHandler, their links lead
// somewhere. CONTRIBUTING.md says how pages are written for that.
package docs

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"unicode"
)

// page is a Markdown file.
type page struct {
	path   string // relative to the repository's root, with slashes
	lines  []string
	blocks []block
	prose  []bool // by line: neither in a block of code nor its fence
}

// block is a fenced block of code.
type block struct {
	page     string
	line     int    // of its first line of code, counted from 1
	language string // the fence's info string
	note     string // of an HTML comment "docs: …" right before the fence
	code     string
}

func (b block) String() string { return fmt.Sprintf("%s:%d", b.page, b.line) }

// readPages reads every Markdown file below root.
func readPages(root string) ([]page, error) {
	var pages []page
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		if d.IsDir() {
			if path != root && (name == "testdata" || name == "node_modules" || strings.HasPrefix(name, ".") && name != ".github") {
				return filepath.SkipDir
			}
			return nil
		}
		if filepath.Ext(name) != ".md" {
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		p, err := parsePage(filepath.ToSlash(relative), string(text))
		if err != nil {
			return err
		}
		pages = append(pages, p)
		return nil
	})
	return pages, err
}

var (
	fenceLine = regexp.MustCompile("^( {0,3})(```+|~~~+) *([^`]*?) *$")
	noteLine  = regexp.MustCompile(`^<!-- *docs: *(.*?) *-->$`)
)

func parsePage(path, text string) (page, error) {
	p := page{path: path, lines: strings.Split(text, "\n")}
	p.prose = make([]bool, len(p.lines))
	var open *block
	var fence, indent string
	note := ""
	for i, line := range p.lines {
		match := fenceLine.FindStringSubmatch(line)
		switch {
		case open != nil && match != nil && strings.HasPrefix(match[2], fence) && match[3] == "":
			p.blocks = append(p.blocks, *open)
			open = nil
		case open != nil:
			open.code += strings.TrimPrefix(line, indent) + "\n"
		case match != nil:
			indent, fence = match[1], match[2]
			open = &block{page: path, line: i + 2, language: match[3], note: note}
			note = ""
		default:
			p.prose[i] = true
			if match := noteLine.FindStringSubmatch(strings.TrimSpace(line)); match != nil {
				note = match[1]
			} else if strings.TrimSpace(line) != "" {
				note = ""
			}
		}
	}
	if open != nil {
		return p, fmt.Errorf("%s:%d: this block of code has no end", path, open.line-1)
	}
	return p, nil
}

var (
	heading = regexp.MustCompile(`^ {0,3}#{1,6} +(.*?)[ #]*$`)
	htmlID  = regexp.MustCompile(`<[a-zA-Z][^>]*\s(?:id|name)="([^"]+)"`)
	mdLink  = regexp.MustCompile(`\[([^\]]*)\]\([^)]*\)`)
)

// anchors are the fragments that a link to the page may have, as GitHub makes
// them of its headings.
func (p page) anchors() map[string]bool {
	anchors := map[string]bool{}
	for i, line := range p.lines {
		if !p.prose[i] {
			continue
		}
		for _, match := range htmlID.FindAllStringSubmatch(line, -1) {
			anchors[match[1]] = true
		}
		if match := heading.FindStringSubmatch(line); match != nil {
			slug := headingSlug(match[1])
			unique := slug
			for n := 1; anchors[unique]; n++ {
				unique = fmt.Sprintf("%s-%d", slug, n)
			}
			anchors[unique] = true
		}
	}
	return anchors
}

func headingSlug(text string) string {
	text = mdLink.ReplaceAllString(text, "$1")
	var slug strings.Builder
	for _, r := range strings.ToLower(text) {
		switch {
		case r == ' ':
			slug.WriteByte('-')
		case r == '-', r == '_', unicode.IsLetter(r), unicode.IsDigit(r):
			slug.WriteRune(r)
		}
	}
	return slug.String()
}
