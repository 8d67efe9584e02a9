package docs

import (
	"fmt"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
)

var (
	inlineCode = regexp.MustCompile("`[^`]*`")
	links      = []*regexp.Regexp{
		regexp.MustCompile(`\]\(<?([^)\s>]+)>?(?:\s+"[^"]*")?\)`),
		regexp.MustCompile(`^ {0,3}\[[^\]]+\]:\s+<?([^\s>]+)`),
		regexp.MustCompile(`<[a-zA-Z][^>]*\s(?:href|src)="([^"]+)"`),
	}
)

// brokenLinks lists the relative links of pages that lead nowhere. Links to
// other sites are not followed: a test must not depend on them.
func brokenLinks(root string, pages []page) []string {
	anchors := map[string]map[string]bool{}
	for _, p := range pages {
		anchors[p.path] = p.anchors()
	}
	var broken []string
	for _, p := range pages {
		for i, line := range p.lines {
			if !p.prose[i] {
				continue
			}
			line = inlineCode.ReplaceAllStringFunc(line, func(code string) string { return strings.Repeat("x", len(code)) })
			for _, form := range links {
				for _, match := range form.FindAllStringSubmatch(line, -1) {
					if why := brokenLink(root, p.path, match[1], anchors); why != "" {
						broken = append(broken, fmt.Sprintf("%s:%d: %s: %s", p.path, i+1, match[1], why))
					}
				}
			}
		}
	}
	return broken
}

// brokenLink says why a link leads nowhere, or nothing.
func brokenLink(root, from, link string, anchors map[string]map[string]bool) string {
	target, err := url.Parse(link)
	if err != nil {
		return "not a URL"
	}
	if target.Scheme != "" || target.Host != "" {
		return ""
	}
	to := from
	if target.Path != "" {
		to = path.Join(path.Dir(from), target.Path)
		if path.IsAbs(target.Path) {
			return "an absolute path: links are relative to their page"
		}
		if strings.HasPrefix(to, "../") {
			return "" // GitHub's own pages, ../../security
		}
		if _, err := os.Stat(filepath.Join(root, filepath.FromSlash(to))); err != nil {
			return "no such file"
		}
	}
	if target.Fragment == "" {
		return ""
	}
	if known, ok := anchors[to]; ok && !known[target.Fragment] {
		return "no heading with this anchor in " + to
	}
	return ""
}
