package document

import (
	"fmt"
	"strings"
)

// Table is a table in Markdown. What is measured is in columns, the first of which says
// what it is.
type Table struct {
	Title  string
	Header []string
	Rows   [][]string
}

// Tables are those of a text, each with the last line before it as its title.
func Tables(text string) []Table {
	var all []Table
	title := ""
	lines := strings.Split(text, "\n")
	for i := 0; i < len(lines); i++ {
		line := strings.TrimSpace(lines[i])
		if !isRow(line) {
			if line != "" {
				title = line
			}
			continue
		}
		end := i
		for end < len(lines) && isRow(strings.TrimSpace(lines[end])) {
			end++
		}
		table := parseRows(lines[i:end])
		table.Title = title
		all = append(all, table)
		i = end - 1
	}
	return all
}

func isRow(line string) bool { return strings.HasPrefix(strings.TrimSpace(line), "|") }

// parseRows reads a header, the line below it, which says how columns are aligned, and rows.
func parseRows(lines []string) Table {
	var t Table
	for i, line := range lines {
		line = strings.TrimSpace(line)
		row := strings.Split(strings.TrimSuffix(strings.TrimPrefix(line, "|"), "|"), "|")
		for j := range row {
			row[j] = strings.TrimSpace(row[j])
		}
		switch i {
		case 0:
			t.Header = row
		case 1:
		default:
			t.Rows = append(t.Rows, row)
		}
	}
	return t
}

// Markdown is the table without its title: the first column to the left, figures to the right.
func (t Table) Markdown() string {
	var b strings.Builder
	line := func(cells []string) {
		b.WriteString("|")
		for _, cell := range cells {
			if cell != "" {
				b.WriteString(" " + cell)
			}
			b.WriteString(" |")
		}
		b.WriteString("\n")
	}
	line(t.Header)
	fmt.Fprintf(&b, "|---|%s\n", strings.Repeat("---:|", len(t.Header)-1))
	for _, row := range t.Rows {
		line(row)
	}
	return b.String()
}

// name is what a row is about: its first cell, and those of other columns without a name.
func (t Table) name(row []string) string {
	names := []string{row[0]}
	for i, cell := range row {
		if i > 0 && i < len(t.Header) && t.Header[i] == "" && cell != "" {
			names = append(names, cell)
		}
	}
	return strings.Join(names, ", ")
}

// cell is what a row with that name has in a column with that name.
func (t Table) cell(row, column string) (string, bool) {
	for _, cells := range t.Rows {
		if t.name(cells) != row {
			continue
		}
		for i, name := range t.Header {
			if i > 0 && name == column && i < len(cells) && cells[i] != "" {
				return cells[i], true
			}
		}
	}
	return "", false
}
