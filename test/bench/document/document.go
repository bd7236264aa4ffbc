package document

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Mark is what stands before a table.
type Mark struct {
	// Part is that of test/bench which measures the table, and Title its title there.
	Part, Title string
	// Code are the folders and files that the table measures.
	Code []string
	// Measured is the hash of Code when that was done; empty if it was not yet.
	Measured string
}

func (m Mark) String() string {
	line := func(name, value string) string { return strings.TrimSpace(name + ": " + value) }
	return strings.Join([]string{
		line("<!-- bench "+m.Part, m.Title),
		line("code", strings.Join(m.Code, " ")),
		line("measured", m.Measured) + " -->",
	}, "\n")
}

// Document is a text with tables that have marks.
type Document struct {
	// before each section and after the last one is prose.
	sections []section
	rest     string
}

type section struct {
	prose string
	mark  Mark
	// table is nil as long as nothing was measured.
	table *Table
	// used: a mark without a title, in whose place others are now.
	used bool
}

var mark = regexp.MustCompile(`<!-- bench ([a-z-]+):(?: ([^\n]+))?\ncode: ([^\n]+)\nmeasured:(?: ([0-9a-f]*))? -->\n`)

// Parse reads a document. A table without a mark is an error.
func Parse(text string) (*Document, error) {
	d := &Document{}
	for {
		at := mark.FindStringSubmatchIndex(text)
		if at == nil {
			break
		}
		group := func(i int) string {
			if at[2*i] < 0 {
				return ""
			}
			return strings.TrimSpace(text[at[2*i]:at[2*i+1]])
		}
		s := section{prose: text[:at[0]], mark: Mark{Part: group(1), Title: group(2), Code: strings.Fields(group(3)), Measured: group(4)}}
		text = text[at[1]:]
		if table, rest := cutTable(text); table != nil {
			s.table, text = table, rest
			s.table.Title = s.mark.Title
		}
		if (s.table == nil) != (s.mark.Measured == "") || s.table != nil && s.mark.Title == "" {
			return nil, fmt.Errorf("mark %q: a table has a title and was measured once", s.mark)
		}
		if s.mark.Title != "" && d.find(s.mark.Title) != nil {
			return nil, fmt.Errorf("mark %q: there are two with this title", s.mark)
		}
		d.sections = append(d.sections, s)
	}
	d.rest = text
	for _, s := range append(d.sections, section{prose: d.rest}) {
		if strings.Contains(s.prose, "<!-- bench") {
			return nil, fmt.Errorf("after %q there is a mark that cannot be read", lastLine(s.prose, "<!-- bench"))
		}
		if at := strings.Index("\n"+s.prose, "\n|"); at >= 0 {
			return nil, fmt.Errorf("after %q there is a table without a mark", lastLine(s.prose, "|"))
		}
	}
	return d, nil
}

// cutTable returns the table that text begins with, after an empty line, and what follows.
func cutTable(text string) (*Table, string) {
	lines := strings.SplitAfter(text, "\n")
	if len(lines) < 3 || strings.TrimSpace(lines[0]) != "" || !isRow(lines[1]) {
		return nil, text
	}
	end := 1
	for end < len(lines) && isRow(lines[end]) {
		end++
	}
	table := parseRows(lines[1:end])
	return &table, strings.Join(lines[end:], "")
}

// lastLine is the last line with text before one that begins so.
func lastLine(text, begin string) string {
	last := ""
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, begin) {
			break
		}
		if line = strings.TrimSpace(line); line != "" {
			last = line
		}
	}
	return last
}

func (d *Document) String() string {
	var b strings.Builder
	for _, s := range d.sections {
		if s.used {
			continue
		}
		b.WriteString(s.prose + s.mark.String() + "\n")
		if s.table != nil {
			b.WriteString("\n" + s.table.Markdown())
		}
	}
	return b.String() + d.rest
}

// Marks are all that the document has.
func (d *Document) Marks() []Mark {
	var all []Mark
	for _, s := range d.sections {
		if !s.used {
			all = append(all, s.mark)
		}
	}
	return all
}

// Table is the one with that title, the zero table if there is none.
func (d *Document) Table(title string) Table {
	if s := d.find(title); s != nil && s.table != nil {
		return *s.table
	}
	return Table{}
}

func (d *Document) find(title string) *section {
	i := slices.IndexFunc(d.sections, func(s section) bool { return s.mark.Title == title })
	if i < 0 {
		return nil
	}
	return &d.sections[i]
}

// Put replaces the tables of a part by what was measured, and their hashes by that of the
// code. Tables that have no mark take the place of the part's mark without a title. A table
// that the part does not measure any more is an error.
func (d *Document) Put(part string, measured []Table, hash func(code []string) (string, error)) error {
	for _, table := range measured {
		s := d.find(table.Title)
		if s == nil {
			s = d.insert(part, table.Title)
		}
		if s == nil {
			return fmt.Errorf("put %q: there is no mark with this title, nor one of part %s without a title", table.Title, part)
		}
		var err error
		if s.mark.Measured, err = hash(s.mark.Code); err != nil {
			return fmt.Errorf("put %q: %w", table.Title, err)
		}
		s.table = &table
	}
	for _, s := range d.sections {
		is := func(table Table) bool { return table.Title == s.mark.Title }
		if s.mark.Part == part && s.mark.Title != "" && !slices.ContainsFunc(measured, is) {
			return fmt.Errorf("put tables of part %s: it does not measure %q any more", part, s.mark.Title)
		}
	}
	return nil
}

// insert makes a section before the mark of the part without a title, nil if there is none.
func (d *Document) insert(part, title string) *section {
	i := slices.IndexFunc(d.sections, func(s section) bool { return s.mark.Part == part && s.mark.Title == "" })
	if i < 0 {
		return nil
	}
	open := &d.sections[i]
	made := section{prose: open.prose, mark: Mark{Part: part, Title: title, Code: open.mark.Code}}
	open.prose, open.used = "\n", true
	d.sections = slices.Insert(d.sections, i, made)
	return &d.sections[i]
}
