package count

import "fmt"

// Of is a number of things whose plural ends in s: "1 volume", "2 volumes", "0 volumes".
func Of[N int | int32](n N, thing string) string {
	if n != 1 {
		thing += "s"
	}
	return fmt.Sprintf("%d %s", n, thing)
}
