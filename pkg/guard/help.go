package guard

import (
	"fmt"
	"strings"
)

// Refusals are the reasons that an endpoint of this package refuses with. Each has its
// section in docs/troubleshooting.md, by this name, and a test compares the two.
func Refusals() []Reason {
	return []Reason{
		ForeignWatchers, OwnedElsewhere, BeingFenced, OtherName, OtherNode, UnboundClaim, TooManyClaims,
		CephUnknown, KubernetesUnknown, Malformed,
	}
}

// helped returns the text of a refusal with the address of its section as the last line. Where
// document is empty, it is the text alone.
func helped(text, document string, reason Reason) string {
	if document == "" {
		return text
	}
	return fmt.Sprintf("%s\n%-*s%s#%s", text, column(text), "  see", document, reason)
}

// column is where in the last line of a refusal stands what its label is about: labels begin with
// two spaces and end with three.
func column(text string) int {
	const usual = len("  do this   ")
	last := text[strings.LastIndexByte(text, '\n')+1:]
	label, is := strings.CutPrefix(last, "  ")
	if !is {
		return usual
	}
	at := strings.Index(label, "   ")
	if at < 0 {
		return usual
	}
	return len(last) - len(strings.TrimLeft(label[at:], " "))
}
