package count

import (
	"fmt"
	"strings"
)

// Of is a number of things whose plural ends in s: "1 volume", "2 volumes", "0 volumes".
func Of[N int | int32](n N, thing string) string {
	if n != 1 {
		thing += "s"
	}
	return fmt.Sprintf("%d %s", n, thing)
}

// Few names at most so many of all: "a, b and 3 others".
func Few(names []string, most int) string {
	text := strings.Join(names[:min(len(names), most)], ", ")
	if more := len(names) - most; more > 0 {
		text += " and " + Of(more, "other")
	}
	return text
}
