package repo

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

// widest is how long a line of a document's text may be.
const widest = 120

var (
	fence = regexp.MustCompile("^\\s*(```|~~~)")
	// A comment, such as the marks in docs/performance.md.
	comment, commentEnd = regexp.MustCompile(`^<!--`), regexp.MustCompile(`-->$`)
	// What is one line: a heading, a row of a table, HTML, a quotation.
	oneLine = regexp.MustCompile(`^\s*([#|<>]|$)`)
	item    = regexp.MustCompile(`^(\s*)([-*+]|\d+[.)])\s+`)
	// At the beginning of a line these would be something else than text, the last one a command.
	markup = regexp.MustCompile(`^([-*+>|]|\d+[.)]|#+|=+|<.*|make)$`)
)

// wrapped is a document in which no paragraph has a line that is too long and could be broken.
// Paragraphs without one stay as they are.
func wrapped(document string) string {
	var out []string
	lines := strings.Split(document, "\n")
	for i := 0; i < len(lines); {
		if closes := closing(lines[i]); closes != nil {
			end := i
			if fence.MatchString(lines[i]) {
				end++
			}
			for end < len(lines) && !closes.MatchString(lines[end]) {
				end++
			}
			end = min(end+1, len(lines))
			out = append(out, lines[i:end]...)
			i = end
			continue
		}
		if oneLine.MatchString(lines[i]) {
			out = append(out, lines[i])
			i++
			continue
		}
		end := i + 1
		for end < len(lines) && !oneLine.MatchString(lines[end]) && !fence.MatchString(lines[end]) && !item.MatchString(lines[end]) {
			end++
		}
		out = append(out, paragraph(lines[i:end])...)
		i = end
	}
	return strings.Join(out, "\n")
}

// closing is what ends a listing or a comment that begins in this line, nil if none does.
func closing(line string) *regexp.Regexp {
	switch {
	case fence.MatchString(line):
		return fence
	case comment.MatchString(line):
		return commentEnd
	}
	return nil
}

// paragraph is a paragraph, or an item of a list, in lines of that length. One with a hard
// break stays as it is.
func paragraph(lines []string) []string {
	long := false
	for _, line := range lines {
		long = long || utf8.RuneCountInString(line) > widest
		if strings.HasSuffix(line, "  ") || strings.HasSuffix(line, `\`) {
			return lines
		}
	}
	if !long {
		return lines
	}
	first := item.FindString(lines[0])
	indent := strings.Repeat(" ", len(first))
	if first == "" {
		first = lines[0][:len(lines[0])-len(strings.TrimLeft(lines[0], " "))]
		indent = first
	}
	text := lines[0][len(first):]
	for _, line := range lines[1:] {
		text += " " + strings.TrimSpace(line)
	}
	var out []string
	line := first
	for _, word := range words(text) {
		switch {
		case line == first && len(out) == 0, line == indent:
			line += word
		case utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) > widest:
			out = append(out, line)
			line = indent + word
		default:
			line += " " + word
		}
	}
	return append(out, line)
}

// words are what a line may be broken between. Code stays together, and what would be markup at the
// beginning of a line stays behind the word before it.
func words(text string) []string {
	var all []string
	for _, word := range strings.Split(text, " ") {
		last := len(all) - 1
		switch {
		case last >= 0 && (strings.Count(all[last], "`")%2 == 1 || markup.MatchString(word)):
			all[last] += " " + word
		case word != "":
			all = append(all, word)
		}
	}
	return all
}

// TestLinesOfDocuments: whoever reads documents in a terminal, or a difference of two, sees whole
// lines. make golden breaks those that are too long.
func TestLinesOfDocuments(t *testing.T) {
	for _, file := range documents(t) {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		want := wrapped(string(text))
		if *update {
			if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if diff := cmp.Diff(strings.Split(string(text), "\n"), strings.Split(want, "\n")); diff != "" {
			t.Errorf("%s has lines that are too long; make golden breaks them (-is +should be):\n%s", filepath.Base(file), diff)
		}
	}
}

func TestWrapped(t *testing.T) {
	long := strings.Repeat("word ", 23) // 115
	for name, test := range map[string]struct{ in, want string }{
		"a short paragraph stays as it is":          {"one\ntwo", "one\ntwo"},
		"a long line is broken":                     {long + "longer more", strings.TrimSpace(long) + "\nlonger more"},
		"what follows in the paragraph flows along": {long + "longer more\nand this", strings.TrimSpace(long) + "\nlonger more and this"},
		"an item is indented":                       {"- " + long + "more", "- " + strings.TrimSpace(long) + "\n  more"},
		"the next item begins anew":                 {"1. " + long + "more\n2. two", "1. " + strings.TrimSpace(long) + "\n   more\n2. two"},
		"code is not broken":                        {long + "`a  bc`", strings.TrimSpace(long) + "\n`a  bc`"},
		"a dash does not become an item":            {long + "xyzz - y", strings.TrimSpace(long) + "\nxyzz - y"},
		"tables and listings are left alone":        {"| " + long + "more |\n\n```\n" + long + "more\n```", "| " + long + "more |\n\n```\n" + long + "more\n```"},
		"a comment is left alone":                   {"<!-- a\n" + long + "longer\n-->\nb", "<!-- a\n" + long + "longer\n-->\nb"},
		"a hard break is left alone":                {long + "longer  \nb", long + "longer  \nb"},
	} {
		t.Run(name, func(t *testing.T) {
			got := wrapped(test.in)
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			if diff := cmp.Diff(got, wrapped(got)); diff != "" {
				t.Errorf("wrapped again (-once +twice):\n%s", diff)
			}
		})
	}
}
