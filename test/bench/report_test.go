package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cephferry/cephferry/test/bench/document"
)

func TestReport(t *testing.T) {
	const before = "<!-- bench guard: One answer\ncode: pkg/p.go\nmeasured: 0 -->\n\n| | times cat |\n|---|---:|\n| pod | 2.00 |\n\nProse.\n"
	t.Chdir(t.TempDir())
	write := func(name, content string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(published, before)
	write("pkg/p.go", "package p\n")
	hash, err := document.Hash(root, []string{"pkg/p.go"})
	if err != nil {
		t.Fatal(err)
	}
	after := strings.NewReplacer("measured: 0", "measured: "+hash, "2.00", "3.50").Replace(before)
	for _, test := range []struct {
		name  string
		write bool
		want  string
	}{
		{"measuring changes nothing", false, before},
		{"writing replaces table and hash", true, after},
	} {
		t.Run(test.name, func(t *testing.T) {
			var out strings.Builder
			r, err := newReport(&out, test.write)
			if err != nil {
				t.Fatal(err)
			}
			// What is edited meanwhile was not measured.
			write("pkg/p.go", "package p\n\nvar later = 1\n")
			defer write("pkg/p.go", "package p\n")
			var printed bytes.Buffer
			table(&printed, "One answer", []string{"", "times cat"}, [][]string{{"pod", "3.50"}})
			if err := r.add("guard", &printed); err != nil {
				t.Fatal(err)
			}
			r.end()
			for _, want := range []string{"3.50 (2.00) !", "- One answer: pod: times cat is 3.50, published 2.00"} {
				if !strings.Contains(out.String(), want) {
					t.Errorf("%q is not in what was printed:\n%s", want, out.String())
				}
			}
			got, err := os.ReadFile(published)
			if err != nil {
				t.Fatal(err)
			}
			if string(got) != test.want {
				t.Errorf("the document is\n%s\nwant\n%s", got, test.want)
			}
		})
	}
}
