package render

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"
)

var update = flag.Bool("update", false, "rewrite the table of values in the chart's README.md")

const tableMarker = "<!-- The table is made from values.yaml: go -C test/chart/render test -update -->\n"

// TestValuesTable: the README's table is what values.yaml says.
func TestValuesTable(t *testing.T) {
	rows, err := valueRows(read(t, "values.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var table strings.Builder
	table.WriteString("\n| value | default | |\n|---|---|---|\n")
	for _, r := range rows {
		fmt.Fprintf(&table, "| `%s` | `%s` | %s |\n", r.path, r.fallback, r.comment)
	}

	prose, got, found := strings.Cut(string(read(t, "README.md")), tableMarker)
	if !found {
		t.Fatalf("README.md has no line %q", tableMarker)
	}
	if *update {
		if err := os.WriteFile("../../../charts/cephferry/README.md", []byte(prose+tableMarker+table.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(table.String(), got); diff != "" {
		t.Errorf("README.md (-values.yaml +README.md); -update rewrites it:\n%s", diff)
	}
}

// valueRow is a value with a comment above it.
type valueRow struct{ path, fallback, comment string }

// valueRows reads the values that have a comment. What stands below such a value
// belongs to its default; a value without one must have values below it.
func valueRows(data []byte) ([]valueRow, error) {
	var document yaml.Node
	if err := yaml.Unmarshal(data, &document); err != nil {
		return nil, err
	}
	var rows []valueRow
	var walk func(path string, mapping *yaml.Node) error
	walk = func(path string, mapping *yaml.Node) error {
		for i := 0; i < len(mapping.Content); i += 2 {
			key, value := mapping.Content[i], mapping.Content[i+1]
			name := strings.TrimPrefix(path+"."+key.Value, ".")
			if comment := lastParagraph(key.HeadComment); comment != "" {
				var fallback any
				if err := value.Decode(&fallback); err != nil {
					return err
				}
				encoded, err := json.Marshal(fallback)
				if err != nil {
					return err
				}
				rows = append(rows, valueRow{name, string(encoded), comment})
				continue
			}
			if value.Kind != yaml.MappingNode || len(value.Content) == 0 {
				return fmt.Errorf("values.yaml:%d: %s has no comment", key.Line, name)
			}
			if err := walk(name, value); err != nil {
				return err
			}
		}
		return nil
	}
	return rows, walk("", document.Content[0])
}

// lastParagraph is the comment directly above a value, without a comment that
// stands alone before it.
func lastParagraph(comment string) string {
	paragraphs := strings.Split(comment, "\n\n")
	var words []string
	for line := range strings.Lines(paragraphs[len(paragraphs)-1]) {
		words = append(words, strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(line), "#")))
	}
	return strings.Join(words, " ")
}
