//go:build site

package site

import (
	"flag"
	"html"
	"io/fs"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var built = flag.String("site", "../../dist-site", "the folder of the built site")

var (
	link   = regexp.MustCompile(`\s(?:href|src)="([^"]*)"`)
	loaded = regexp.MustCompile(`<(?:script|link|img|iframe|source)[^>]*\s(?:href|src)="([^"]*)"`)
	anchor = regexp.MustCompile(`\sid="([^"]*)"`)
	menu   = regexp.MustCompile(`(?s)<nav id="menu".*?</nav>`)
)

// pages are the site's pages by their paths.
func pages(t *testing.T) map[string]string {
	t.Helper()
	found := map[string]string{}
	err := filepath.WalkDir(*built, func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || filepath.Ext(name) != ".html" {
			return err
		}
		text, err := os.ReadFile(name)
		relative, _ := filepath.Rel(*built, name)
		found[filepath.ToSlash(relative)] = string(text)
		return err
	})
	if err != nil {
		t.Fatalf("%v; make site builds it", err)
	}
	if len(found) < 30 {
		t.Fatalf("%s has %d pages", *built, len(found))
	}
	return found
}

// leadsTo is what a link on a page leads to within the site: a file, and an anchor in it.
func leadsTo(t *testing.T, page, written string) (file, fragment string, inside bool) {
	t.Helper()
	to, err := url.Parse(html.UnescapeString(written))
	if err != nil {
		t.Errorf("%s: %q: %v", page, written, err)
		return "", "", false
	}
	if to.IsAbs() || to.Host != "" {
		return "", "", false
	}
	switch {
	case to.Path == "":
		file = page
	case strings.HasPrefix(to.Path, "/"):
		t.Errorf("%s: %q is not relative", page, written)
	default:
		file = path.Join(path.Dir(page), to.Path)
		if strings.HasSuffix(to.Path, "/") || file == "." {
			file = path.Join(file, "index.html")
		}
	}
	return file, to.Fragment, true
}

// TestLinks: each link within the site leads to a file, and to an anchor that is there.
func TestLinks(t *testing.T) {
	all := pages(t)
	anchors := map[string]map[string]bool{}
	for name, text := range all {
		anchors[name] = map[string]bool{}
		for _, m := range anchor.FindAllStringSubmatch(text, -1) {
			id := html.UnescapeString(m[1])
			if anchors[name][id] {
				t.Errorf("%s: two elements have the id %q", name, id)
			}
			anchors[name][id] = true
		}
	}
	followed := 0
	for name, text := range all {
		for _, m := range link.FindAllStringSubmatch(text, -1) {
			file, fragment, inside := leadsTo(t, name, m[1])
			if !inside {
				continue
			}
			followed++
			if _, err := os.Stat(filepath.Join(*built, filepath.FromSlash(file))); err != nil {
				t.Errorf("%s: %s: %v", name, m[1], err)
			} else if fragment != "" && !anchors[file][fragment] {
				t.Errorf("%s: %s: %s has no %q", name, m[1], file, fragment)
			}
		}
	}
	if followed < 1000 {
		t.Errorf("%d links were followed", followed)
	}
}

// TestNothingComesFromElsewhere: a page shows the same without the rest of the Internet.
func TestNothingComesFromElsewhere(t *testing.T) {
	seen := 0
	for name, text := range pages(t) {
		for _, m := range loaded.FindAllStringSubmatch(text, -1) {
			seen++
			if _, _, inside := leadsTo(t, name, m[1]); !inside {
				t.Errorf("%s loads %s", name, m[1])
			}
		}
	}
	if seen == 0 {
		t.Error("no page loads anything, not even its style")
	}
}

// TestMenu: every page has the menu, in which every page is, and itself marked.
func TestMenu(t *testing.T) {
	all := pages(t)
	for name, text := range all {
		shown := menu.FindString(text)
		listed := map[string]bool{}
		for _, m := range link.FindAllStringSubmatch(shown, -1) {
			file, _, _ := leadsTo(t, name, m[1])
			listed[file] = true
		}
		for other := range all {
			if !listed[other] {
				t.Errorf("the menu of %s lacks %s", name, other)
			}
		}
		if got := strings.Count(shown, `aria-current="page"`); got != 1 {
			t.Errorf("the menu of %s marks %d pages as the one that is shown", name, got)
		}
	}
}
