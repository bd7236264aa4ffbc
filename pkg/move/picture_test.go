package move

import (
	"cmp"
	"regexp"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/cephferry/cephferry/docs"
)

// TestPicture: docs/concepts.md draws a move as it goes.
func TestPicture(t *testing.T) {
	w := newWorld(t, runsInEast)
	m := w.mover()
	plan, err := m.Prepare(t.Context(), Wish{Namespace: "shop", Names: []Name{{StatefulSet, "db"}}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := m.Run(t.Context(), plan); err != nil {
		t.Fatal(err)
	}
	document, err := docs.Files.ReadFile("concepts.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(document), "\n## A move\n")
	section, _, _ = strings.Cut(section, "\n## ")
	var drawn []string
	for _, arrow := range regexp.MustCompile(`(?m)^    (?:person->>(\w+)|(\w+)-->>person): (.*)$`).FindAllStringSubmatch(section, -1) {
		drawn = append(drawn, cmp.Or(arrow[1], arrow[2])+": "+arrow[3])
	}
	var said []string
	for _, step := range w.said {
		said = append(said, strings.NewReplacer("statefulset/db ", "", " data-db-0", "").Replace(step))
	}
	if diff := gocmp.Diff(said, drawn); diff != "" {
		t.Errorf("docs/concepts.md (-code +document):\n%s", diff)
	}
}
