package document

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// tolerated is how much larger a ratio may be than the published one.
const tolerated = 1.5

// Beside returns the measured table with each figure that differs from the published one
// followed by that in parentheses, and what got slower, a sentence each. Only ratios to a
// yardstick tell, and how often something is done in a minute: all else depends on the
// machine.
func Beside(measured, published Table) (_ Table, slower []string) {
	shown := Table{Title: measured.Title, Header: measured.Header}
	for _, row := range measured.Rows {
		name := measured.name(row)
		cells := []string{row[0]}
		for i, now := range row[1:] {
			column := measured.Header[i+1]
			before, ok := published.cell(name, column)
			if column == "" || !ok || before == now {
				cells = append(cells, now)
				continue
			}
			cell := fmt.Sprintf("%s (%s)", now, before)
			if isSlower(measured.Title, row[0], column, now, before) {
				cell += " !"
				slower = append(slower, fmt.Sprintf("%s: %s: %s is %s, published %s", measured.Title, name, column, now, before))
			}
			cells = append(cells, cell)
		}
		shown.Rows = append(shown.Rows, cells)
	}
	return shown, slower
}

var (
	ratio = regexp.MustCompile(`\b(times|faster by|round trips)\b`)
	// with is a time with its ratio, as in "329 ms (1.53)".
	with = regexp.MustCompile(`^[0-9.]+ \S+ \(([0-9.]+)\)$`)
	// count is a title or a row about how often something is done, and not for how long.
	count = regexp.MustCompile(`(?i)\b(calls|requests|operations)\b.*\bin (a|that) minute\b`)
)

// isSlower compares ratios to a yardstick, and counts in a minute, where one more may be
// chance.
func isSlower(title, row, column, now, before string) bool {
	switch then, is := with.FindStringSubmatch(before), with.FindStringSubmatch(now); {
	case then != nil && is != nil:
		return exceeds(is[1], then[1])
	case ratio.MatchString(column):
		return exceeds(now, before)
	case count.MatchString(title), count.MatchString(row):
		return number(now) > tolerated*number(before)+1
	}
	return false
}

func exceeds(now, before string) bool {
	return number(before) > 0 && number(now) > tolerated*number(before)
}

// number is the one that a figure begins with, 0 if there is none.
func number(cell string) float64 {
	first, _, _ := strings.Cut(cell, " ")
	n, err := strconv.ParseFloat(first, 64)
	if err != nil {
		return 0
	}
	return n
}
