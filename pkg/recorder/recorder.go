// Package recorder writes Kubernetes events whose text may be long.
package recorder

import (
	"fmt"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/tools/events"
)

// maxNote is the longest text in bytes that the API server takes in an event
// (NoteLengthLimit in its validation of events.k8s.io/v1). It refuses a longer one,
// and nobody would see it.
const maxNote = 1024

const more = " ..."

// Cutting cuts texts that are too long.
type Cutting struct{ events.EventRecorder }

// Eventf is that of the recorder in it.
func (c Cutting) Eventf(regarding, related runtime.Object, kind, reason, action, note string, args ...any) {
	text := fmt.Sprintf(note, args...)
	if len(text) > maxNote {
		text = text[:maxNote-len(more)] + more
	}
	c.EventRecorder.Eventf(regarding, related, kind, reason, action, "%s", text)
}
