package repo

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// What docs/safety.md names as evidence is there: tests as "`test/guard`: TestName", and
// traces of the model.
func TestTheEvidenceOfSafetyIsThere(t *testing.T) {
	data, err := os.ReadFile("../../docs/safety.md")
	if err != nil {
		t.Fatal(err)
	}
	tests := regexp.MustCompile("`((?:pkg|test)/[a-z/]+)`: (Test[A-Za-z]+)").FindAllStringSubmatch(string(data), -1)
	traces := regexp.MustCompile("`(hole-[a-z-]+\\.txt)`").FindAllStringSubmatch(string(data), -1)
	if len(tests) < 5 || len(traces) < 5 {
		t.Fatalf("%d tests and %d traces; want the table", len(tests), len(traces))
	}
	for _, m := range tests {
		files, err := filepath.Glob("../../" + m[1] + "/*_test.go")
		if err != nil {
			t.Fatal(err)
		}
		found := false
		for _, file := range files {
			source, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			found = found || strings.Contains(string(source), "func "+m[2]+"(")
		}
		if !found {
			t.Errorf("%s has no %s", m[1], m[2])
		}
	}
	for _, m := range traces {
		if _, err := os.Stat("../model/testdata/" + m[1]); err != nil {
			t.Error(err)
		}
	}
}
