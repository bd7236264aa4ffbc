package main

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cephferry/cephferry/test/bench/document"
)

func TestEachPartHasItsPlaceInTheDocument(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("../..", published))
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := document.Parse(string(text))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(text), parsed.String()); diff != "" {
		t.Errorf("writing tables would change more of %s than those (-now +then):\n%s", published, diff)
	}
	names := map[string]bool{}
	for _, part := range parts {
		names[part.name] = false
	}
	for _, mark := range parsed.Marks() {
		if _, ok := names[mark.Part]; !ok {
			t.Errorf("%s has a table of part %q, which there is not", published, mark.Part)
		}
		names[mark.Part] = true
	}
	for name, found := range names {
		if !found {
			t.Errorf("%s has no place for the tables of part %q; a mark without a title makes one, see package document", published, name)
		}
	}
}

func TestChoose(t *testing.T) {
	all := []part{{name: "guard"}, {name: "names"}, {name: "render"}}
	for name, test := range map[string]struct {
		names, want []string
		fails       bool
	}{
		"all without a name":                  {nil, []string{"guard", "names", "render"}, false},
		"those that are named, in this order": {[]string{"render", "guard"}, []string{"render", "guard"}, false},
		"none that there is not":              {[]string{"guard", "nothing"}, nil, true},
	} {
		t.Run(name, func(t *testing.T) {
			chosen, err := choose(all, test.names)
			var got []string
			for _, part := range chosen {
				got = append(got, part.name)
			}
			if !slices.Equal(got, test.want) || (err != nil) != test.fails {
				t.Errorf("parts %q, error %v", got, err)
			}
		})
	}
}
