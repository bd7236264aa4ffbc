package repo

import (
	"go/ast"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cephferry/cephferry/pkg/guard"
	"github.com/cephferry/cephferry/pkg/provisioner"
)

const troubleshooting = "docs/troubleshooting.md"

// refusals are the reasons with which an endpoint of the webhook refuses, sorted.
func refusals() []string {
	var all []string
	for _, reason := range guard.Refusals() {
		all = append(all, string(reason))
	}
	for _, reason := range provisioner.Refusals() {
		all = append(all, string(reason))
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// TestRefusalsAreExplained: every kind of refusal has its section, which its link leads to, and
// every section its kind.
func TestRefusalsAreExplained(t *testing.T) {
	anchors := submatches(section(t, troubleshooting, "Refusals"), `(?m)^<a id="([a-z-]+)"></a>\n\n### `)
	slices.Sort(anchors)
	if diff := cmp.Diff(refusals(), anchors); diff != "" {
		t.Errorf("%s (-code +sections):\n%s", troubleshooting, diff)
	}
	headings := strings.Count(section(t, troubleshooting, "Refusals"), "\n### ")
	if headings != len(anchors) {
		t.Errorf("%d headings, and %d of them have an anchor", headings, len(anchors))
	}
}

// TestReasonsAreRefusalsOrNot: no reason is forgotten in the lists of those that refuse. Those
// that an answer passes with are named here.
func TestReasonsAreRefusalsOrNot(t *testing.T) {
	passes := []string{
		"no-watcher", "own-watchers", "nothing-guarded", "not-rising", "pods-unknown", "pods-wait", "nobody-waits", "becomes-guarded",
		"may-rise",
	}
	var all []string
	for _, folder := range []string{"pkg/guard", "pkg/provisioner"} {
		all = append(all, typed(t, folder, "Reason")...)
	}
	slices.Sort(all)
	all = slices.Compact(all)
	want := slices.Concat(passes, refusals())
	slices.Sort(want)
	if diff := cmp.Diff(want, all); diff != "" {
		t.Errorf("the constants of type Reason (-lists +code):\n%s", diff)
	}
}

// TestDocumentsAgreeOnRefusals: what docs/webhook.md says of its reasons, and docs/safety.md of the rules
// behind them, is about the same kinds, and leads to their sections.
func TestDocumentsAgreeOnRefusals(t *testing.T) {
	for file, heading := range map[string]string{"docs/webhook.md": "How it decides", "docs/safety.md": "The seven rules"} {
		got := submatches(section(t, file, heading), "\\[`([a-z-]+)`\\]\\(troubleshooting\\.md#([a-z-]+)\\)")
		slices.Sort(got)
		if diff := cmp.Diff(refusals(), slices.Compact(got)); diff != "" {
			t.Errorf("%s, %q (-code +document):\n%s", file, heading, diff)
		}
	}
}

// TestAnchors: every link to a part of the page leads to one.
func TestAnchors(t *testing.T) {
	document := read(t, troubleshooting)
	there := map[string]bool{}
	for _, id := range submatches(document, `<a id="([a-z-]+)"></a>`) {
		there[id] = true
	}
	for _, heading := range submatches(document, `(?m)^##+ (.*)$`) {
		there[slug(heading)] = true
	}
	links := submatches(document, `\]\(#([^)]+)\)`)
	for _, file := range documents(t) {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		links = append(links, submatches(string(text), `troubleshooting\.md#([a-z-]+)`)...)
	}
	if len(links) < 20 {
		t.Errorf("there are %d links only", len(links))
	}
	for _, link := range links {
		if !there[link] {
			t.Errorf("%s has no part #%s", troubleshooting, link)
		}
	}
}

// TestCephErrorsAreExplained: every error of Ceph that people may read has its row.
func TestCephErrorsAreExplained(t *testing.T) {
	var want []string
	for _, text := range submatches(read(t, "pkg/ceph/errors.go"), `newError\(("(?:[^"\\]|\\.)*")`) {
		plain, err := strconv.Unquote(text)
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, plain)
	}
	got := firstCells(section(t, troubleshooting, "What Ceph says"))
	slices.Sort(want)
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-pkg/ceph +document):\n%s", troubleshooting, diff)
	}
}

// TestEventsAreExplained: every reason of an event that the programs write has its row.
func TestEventsAreExplained(t *testing.T) {
	var want []string
	for _, source := range textsOf(t, "pkg/provisioner/report.go", "pkg/missing/missing.go", "pkg/keeper/condition.go", "cmd/webhook/events.go") {
		want = append(want, submatches(source, `(?m)^\s*(?:event\w+|Reason|[A-Z][A-Za-z]+)\s*= "([A-Za-z]+)"`)...)
	}
	part, _, _ := strings.Cut(section(t, troubleshooting, "Events and conditions"), "\n### ")
	got := firstCells(part)
	slices.Sort(want)
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-code +document):\n%s", troubleshooting, diff)
	}
}

// TestPoliciesAreExplained: every policy of the chart has its row.
func TestPoliciesAreExplained(t *testing.T) {
	templates, err := filepath.Glob(filepath.Join(root, "charts/cephferry/templates/*.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for _, file := range templates {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, submatches(string(text), `kind: ValidatingAdmissionPolicy\nmetadata:\n  name: \{\{ [^}]* \}\}-([a-z-]+)\n`)...)
	}
	got := submatches(section(t, troubleshooting, "Policies"), "(?m)^\\| (`[a-z-]+`(?:, `[a-z-]+`)*) \\|")
	var names []string
	for _, cell := range got {
		names = append(names, submatches(cell, "`([a-z-]+)`")...)
	}
	slices.Sort(want)
	slices.Sort(names)
	if diff := cmp.Diff(want, names); diff != "" {
		t.Errorf("%s (-chart +document):\n%s", troubleshooting, diff)
	}
}

// TestWordsAreThose: the words by which people search are in the code. "…" stands for what it
// puts there.
func TestWordsAreThose(t *testing.T) {
	var code strings.Builder
	for _, folder := range []string{"pkg", "cmd", "charts/cephferry/templates"} {
		err := filepath.WalkDir(filepath.Join(root, folder), func(path string, entry os.DirEntry, err error) error {
			if err != nil || entry.IsDir() || strings.HasSuffix(path, "_test.go") {
				return err
			}
			text, err := os.ReadFile(path)
			code.Write(text)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	all := code.String()
	var words []string
	for _, heading := range submatches(section(t, troubleshooting, "Refusals"), `(?m)^### (.*)$`) {
		words = append(words, submatches(heading, "`([^`]+)`")...)
	}
	for _, name := range []string{"Warnings", "What is read of ceph-csi's configuration", "Log lines", "kubectl cephferry"} {
		words = append(words, firstCells(section(t, troubleshooting, name))...)
	}
	for _, cell := range submatches(section(t, troubleshooting, "Policies"), `(?m)^\| [^|]*\| ([^|]*) \|`) {
		words = append(words, submatches(cell, "`([^`]+)`")...)
	}
	if len(words) < 40 {
		t.Errorf("there are %d only: %q", len(words), words)
	}
	for _, text := range words {
		for part := range strings.SplitSeq(text, "…") {
			if !strings.Contains(all, strings.TrimSpace(part)) {
				t.Errorf("%s: nothing says %q", troubleshooting, text)
			}
		}
	}
}

// section is the part of a document below a heading, up to the next one of the same level.
func section(t *testing.T, file, heading string) string {
	t.Helper()
	_, rest, found := strings.Cut(read(t, file), "\n## "+heading+"\n")
	if !found {
		t.Fatalf("%s has no section %q", file, heading)
	}
	part, _, _ := strings.Cut(rest, "\n## ")
	return part
}

// firstCells are what stands in code marks in the first cells of a part's tables.
func firstCells(part string) []string {
	var all []string
	for _, cell := range submatches(part, "(?m)^\\| ([^|]*`[^|]*) \\|") {
		all = append(all, submatches(cell, "`([^`]+)`")...)
	}
	return all
}

// submatches are the first groups of all matches.
func submatches(text, pattern string) []string {
	var all []string
	for _, m := range regexp.MustCompile(pattern).FindAllStringSubmatch(text, -1) {
		all = append(all, m[1])
	}
	return all
}

// slug is the name that GitHub gives a heading.
func slug(heading string) string {
	kept := strings.Map(func(r rune) rune {
		switch {
		case r == ' ':
			return '-'
		case r == '-' || r == '_' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z':
			return r
		}
		return -1
	}, strings.ToLower(heading))
	return kept
}

// typed are the texts of a package's constants of that type.
func typed(t *testing.T, folder, of string) []string {
	t.Helper()
	var all []string
	for _, file := range filesOf(t, folder) {
		ast.Inspect(file, func(n ast.Node) bool {
			spec, ok := n.(*ast.ValueSpec)
			if !ok || len(spec.Values) != 1 {
				return true
			}
			name, _ := spec.Type.(*ast.Ident)
			value, literal := spec.Values[0].(*ast.BasicLit)
			if name != nil && name.Name == of && literal {
				text, err := strconv.Unquote(value.Value)
				if err != nil {
					t.Fatal(err)
				}
				all = append(all, text)
			}
			return true
		})
	}
	return all
}

func textsOf(t *testing.T, files ...string) []string {
	t.Helper()
	var all []string
	for _, file := range files {
		all = append(all, read(t, file))
	}
	return all
}
