// Package recorder writes Kubernetes events whose text may be long.
package recorder

import (
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/tools/events"
)

// maxNote is the longest text in bytes that the API server takes in an event
// (NoteLengthLimit in its validation of events.k8s.io/v1). It refuses a longer one,
// and nobody would see it.
const maxNote = 1024

// maxLast is the longest last line that is kept: it says what to do, or where to read on.
const maxLast = 256

const more = " ..."

// Cutting cuts texts that are too long, before their last line.
type Cutting struct{ events.EventRecorder }

// Eventf is that of the recorder in it.
func (c Cutting) Eventf(regarding, related runtime.Object, kind, reason, action, note string, args ...any) {
	c.EventRecorder.Eventf(regarding, related, kind, reason, action, "%s", cut(fmt.Sprintf(note, args...)))
}

func cut(text string) string {
	if len(text) <= maxNote {
		return text
	}
	end := more
	if at := strings.LastIndexByte(text, '\n'); at >= 0 && len(text)-at <= maxLast {
		end += text[at:]
	}
	return text[:maxNote-len(end)] + end
}
