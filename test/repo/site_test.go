package repo

import (
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"
)

// TestTheOrderOfTheDocuments: every document is in the menu of the site once, and README.md lists
// them in the same order, under the same titles.
func TestTheOrderOfTheDocuments(t *testing.T) {
	var menu []struct {
		Title string
		Pages []struct{ File, Title string }
	}
	if err := yaml.UnmarshalStrict([]byte(read(t, "site/data/menu.yaml")), &menu); err != nil {
		t.Fatal(err)
	}
	var order []string
	times := map[string]int{}
	for _, part := range menu {
		order = append(order, part.Title)
		for _, page := range part.Pages {
			times[page.File]++
			if page.Title == "" {
				t.Errorf("site/data/menu.yaml: %s has no title", page.File)
			}
			if page.File != "README.md" { // which cannot list itself
				order = append(order, page.File)
			}
		}
	}
	there := map[string]int{}
	for _, file := range documents(t) {
		name, err := filepath.Rel(root, file)
		if err != nil {
			t.Fatal(err)
		}
		there[filepath.ToSlash(name)] = 1
	}
	if diff := cmp.Diff(there, times); diff != "" {
		t.Errorf("how often documents are in site/data/menu.yaml (-want +got):\n%s", diff)
	}
	_, list, _ := strings.Cut(read(t, "README.md"), "\n## Documents\n")
	var listed []string
	for _, m := range regexp.MustCompile(`(?m)^(?:- \[(\S+)\]\((\S+)\): .+|([A-Z][a-z ]+))$`).FindAllStringSubmatch(list, -1) {
		if m[1] != m[2] {
			t.Errorf("README.md: [%s] leads to %s", m[1], m[2])
		}
		listed = append(listed, m[1]+m[3])
	}
	if diff := cmp.Diff(order, listed); diff != "" {
		t.Errorf("README.md (-site +README):\n%s", diff)
	}
}

// TestPlatformTeamsKnowTheAlerts: each alert of the chart is among what pages them.
func TestPlatformTeamsKnowTheAlerts(t *testing.T) {
	table := sectionOf(t, "docs/platform-teams.md", "What pages you")
	alerts := regexp.MustCompile(`(?m)^\s*- alert: (\w+)$`).FindAllStringSubmatch(read(t, "charts/cephferry/monitoring/alerts.yaml"), -1)
	for _, alert := range alerts {
		if row := "| [" + alert[1] + "](troubleshooting.md#" + strings.ToLower(alert[1]) + ") |"; !strings.Contains(table, row) {
			t.Errorf("docs/platform-teams.md has no row %q", row)
		}
	}
	if got := strings.Count(table, "| [Cephferry"); len(alerts) == 0 || got != len(alerts) {
		t.Errorf("it has %d rows, and there are %d alerts", got, len(alerts))
	}
}
