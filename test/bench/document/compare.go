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
// yardstick tell: all else depends on the machine.
func Beside(measured, published Table) (_ Table, slower []string) {
	shown := Table{Title: measured.Title, Header: measured.Header}
	for _, row := range measured.Rows {
		cells := []string{row[0]}
		for i, now := range row[1:] {
			column := measured.Header[i+1]
			before, ok := published.cell(row[0], column)
			if !ok || before == now {
				cells = append(cells, now)
				continue
			}
			cell := fmt.Sprintf("%s (%s)", now, before)
			if isRatio(column) && number(before) > 0 && number(now) > tolerated*number(before) {
				cell += " !"
				slower = append(slower, fmt.Sprintf("%s: %s: %s is %s, published %s", measured.Title, row[0], column, now, before))
			}
			cells = append(cells, cell)
		}
		shown.Rows = append(shown.Rows, cells)
	}
	return shown, slower
}

var ratio = regexp.MustCompile(`\b(times|faster by|round trips)\b`)

// isRatio reports whether a column has ratios to a yardstick, of which larger ones are slower.
func isRatio(column string) bool { return ratio.MatchString(column) }

// number is the one that a figure begins with, 0 if there is none.
func number(cell string) float64 {
	first, _, _ := strings.Cut(cell, " ")
	n, err := strconv.ParseFloat(first, 64)
	if err != nil {
		return 0
	}
	return n
}
