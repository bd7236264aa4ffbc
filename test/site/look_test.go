//go:build site

package site

import (
	"flag"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/cephferry/cephferry/test/browser"
)

var screenshots = flag.String("screenshots", "", "a folder for pictures of every page, for a person to look at")

// Widths of a phone and of a desktop.
const (
	phone   = 390
	desktop = 1366
)

// tooFaint lists the texts that are hard to read on their ground: less than the contrast that
// WCAG asks for.
const tooFaint = `(() => {
	const light = c => { const [r, g, b] = c.match(/[\d.]+/g).map(Number).map(v => (v /= 255) <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4); return .2126 * r + .7152 * g + .0722 * b; };
	const ground = e => { for (; e; e = e.parentElement) { const c = getComputedStyle(e).backgroundColor; if (!/, 0\)$/.test(c)) return c; } return "rgb(255, 255, 255)"; };
	const faint = [];
	for (const name of ["p", "a:not(.anchor)", "code", "pre", "th", "td", "#menu h2", "nav [aria-current]", "footer"])
		for (const e of [...document.querySelectorAll(name)].filter(e => !e.closest("svg")).slice(0, 3)) {
			const [a, b] = [light(getComputedStyle(e).color), light(ground(e))].sort((x, y) => y - x);
			if ((a + .05) / (b + .05) < 4.5) faint.push(name + ": " + ((a + .05) / (b + .05)).toFixed(2));
		}
	return faint;
})()`

// TestLook opens every page as on a phone in the dark, and on a desktop in the light: nothing but a table
// or a listing is wider than the window, every diagram is drawn, and all can be read.
func TestLook(t *testing.T) {
	b := browser.Start(t)
	all := slices.Sorted(maps.Keys(pages(t)))
	diagrams := 0
	for _, way := range []struct {
		name, scheme string
		width        int
	}{
		{"phone-dark", "dark", phone}, {"desktop-light", "light", desktop},
	} {
		folder, err := filepath.Abs(*built)
		if err != nil {
			t.Fatal(err)
		}
		for _, page := range all {
			tab := b.Open(t, "file://"+filepath.Join(folder, filepath.FromSlash(page)), way.width, 900, way.scheme)
			tab.Wait(`document.readyState === "complete" && document.querySelector("h1") !== null`)
			tab.Wait(`[...document.querySelectorAll("pre.mermaid")].every(d => d.querySelector("svg"))`)
			var seen struct {
				Width, Diagrams, Broken int
				Faint                   []string
				Ground                  string
			}
			tab.Eval(`({
				width: document.documentElement.scrollWidth,
				diagrams: document.querySelectorAll("pre.mermaid").length,
				broken: document.querySelectorAll(".error-icon, .error-text").length,
				faint: `+tooFaint+`,
				ground: getComputedStyle(document.body).backgroundColor,
			})`, &seen)
			diagrams += seen.Diagrams
			if seen.Width > way.width {
				t.Errorf("%s, %s: it is %d wide", page, way.name, seen.Width)
			}
			if seen.Broken > 0 {
				t.Errorf("%s, %s: a diagram has an error", page, way.name)
			}
			if len(seen.Faint) > 0 {
				t.Errorf("%s, %s: too faint: %q", page, way.name, seen.Faint)
			}
			if isWhite := seen.Ground == "rgb(255, 255, 255)"; isWhite != (way.scheme == "light") {
				t.Errorf("%s, %s: the ground is %s", page, way.name, seen.Ground)
			}
			if *screenshots != "" {
				name := way.name + "-" + strings.ReplaceAll(page, "/", "_") + ".png"
				if err := os.WriteFile(filepath.Join(*screenshots, name), tab.Screenshot(), 0o600); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	if diagrams == 0 {
		t.Error("no page has a diagram")
	}
}
