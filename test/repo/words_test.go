package repo

import (
	"os"
	"strings"
	"testing"
)

// TestWords: who reads docs/glossary.md for the first time has twenty words to learn, and
// each has one meaning.
func TestWords(t *testing.T) {
	data, err := os.ReadFile("../../docs/glossary.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, found := strings.Cut(string(data), "| word | what it means here |\n|---|---|\n")
	if !found {
		t.Fatal("docs/glossary.md has no table of words")
	}
	table, _, _ = strings.Cut(table, "\n\n")
	seen := map[string]bool{}
	for line := range strings.Lines(table) {
		word := strings.TrimSpace(strings.Split(line, "|")[1])
		if seen[word] {
			t.Errorf("%s stands there twice", word)
		}
		seen[word] = true
	}
	if len(seen) == 0 || len(seen) > 20 {
		t.Errorf("there are %d words", len(seen))
	}
}
