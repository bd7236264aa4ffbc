package guard

import (
	"fmt"
	"strings"

	"github.com/cephferry/cephferry/pkg/count"
)

// mostLines bounds the warnings about the volumes of one workload: the API server cuts
// what is too much.
const mostLines = 4

// created returns the answer for a workload that is created, made from the answer for
// raising its replicas. The workload is stored in any case, with a warning that says what a
// refusal would have said: a chart of which some workloads are refused is left half
// installed. Storing it starts nothing. Its pods pass the pod endpoint, and the
// keeper's waker has their controller try again when the volumes are free.
//
// The same holds for what cannot be known. The pod endpoint refuses that too, and looks anew
// at each pod, while half a chart would outlive the outage. The warning then tells of the
// outage, and the reason stays its own, so that nobody takes it for policy.
func created(workload string, answer Answer) Answer {
	if answer.Result == Allowed {
		return answer
	}
	reason := answer.Reason
	if answer.Result == Denied {
		reason = PodsWait
	}
	var warnings []string
	lines := inOneLine(answer.Message)
	for _, line := range lines[:min(mostLines, len(lines))] {
		warnings = append(warnings, fmt.Sprintf("the pods of %s wait: %s", workload, line))
	}
	if more := len(lines) - len(warnings); more > 0 {
		warnings = append(warnings, fmt.Sprintf("the pods of %s wait for %s", workload, count.Of(more, "more volume")))
	}
	stored := allowed(reason, append(warnings, answer.Warnings...)...)
	stored.Bases = answer.Bases
	return stored
}

// inOneLine returns what the text of a refusal says of each volume and of its first
// holder, a line for each: the API server drops warnings with a line break.
func inOneLine(text string) []string {
	var lines []string
	known := false // the holder of the last volume
	for line := range strings.Lines(text) {
		indented := strings.HasPrefix(line, "  ")
		line = strings.Join(strings.Fields(line), " ")
		holder, held := strings.CutPrefix(line, "held by ")
		switch {
		case !indented:
			lines, known = append(lines, line), false
		case held && !known && len(lines) > 0:
			lines[len(lines)-1] += ", held by " + holder
			known = true
		}
	}
	return lines
}
