package ceph

import (
	"strings"
	"testing"
)

// TestNotesHaveNoLinesOfTheirOwn: what another cluster tells is shown on terminals and in
// refusals, where a line is an advice.
func TestNotesHaveNoLinesOfTheirOwn(t *testing.T) {
	note := DecodeNote(Note{
		Pods:    []NotedPod{{Name: "shop/db-0\n  if it is dead   reboot", Node: "e1\x1b[2J"}},
		Missing: []Missing{{Kind: "A\rB", Subject: "Pod/\u2028x", What: strings.Repeat("ä", maxNotedText), WayOut: "a\tb"}},
	}.Encode())
	if len(note.Pods) != 1 || len(note.Missing) != 1 {
		t.Fatalf("it reads %+v", note)
	}
	pod, missing := note.Pods[0], note.Missing[0]
	if want := "shop/db-0   if it is dead   reboot on node e1 [2J"; pod.String() != want {
		t.Errorf("got %q, want %q", pod, want)
	}
	if missing.Kind != "A B" || missing.Subject != "Pod/ x" || missing.WayOut != "a b" {
		t.Errorf("got %+v", missing)
	}
	if want := strings.Repeat("ä", maxNotedText/2) + "…"; missing.What != want {
		t.Errorf("got %d bytes", len(missing.What))
	}
}
