package ceph

import (
	"context"
	"encoding/json"
	"strings"
	"time"
	"unicode"
)

// Note is what the owner's leader tells people in other clusters about an image: which pods have
// it, and what keeps it from being released. It is one RADOS object, named by [NoteObject]. Nothing
// is ever decided by it, so it is written without compare-and-swap, and fields that a reader does
// not know are passed over. One that is not of the present owner and epoch says nothing.
type Note struct {
	// Owner is the UID of the cluster that wrote it, and Epoch that of the record then.
	Owner string `json:"owner"`
	Epoch uint64 `json:"epoch"`
	// Pods are those that use the image, at most [MaxNoted].
	Pods []NotedPod `json:"pods,omitempty"`
	// Missing is what keeps the image from being released, if it has lasted.
	Missing []Missing `json:"missing,omitempty"`
}

// NotedPod is a pod that uses an image.
type NotedPod struct {
	// Name is namespace/name, and Node is empty while no node takes the pod.
	Name string `json:"name"`
	Node string `json:"node,omitempty"`
	// Ending: it is being deleted.
	Ending bool `json:"ending,omitempty"`
}

// String is for people: shop/db-0 on node e1.
func (p NotedPod) String() string {
	text := p.Name
	if p.Node != "" {
		text += " on node " + p.Node
	}
	if p.Ending {
		text += ", which is being deleted"
	}
	return text
}

// MaxNoted bounds each list of a note.
const MaxNoted = 3

// Missing is something that has to happen before an image is free, and has not.
type Missing struct {
	// Kind is a word for it, which conditions have as their reason.
	Kind string `json:"kind"`
	// Subject is what it is about, as Kind/name: Node/e1, Pod/db-0, Client/10.0.1.12.
	Subject string `json:"subject"`
	// What is a clause that names all of it.
	What string `json:"what"`
	// Since is in whole seconds of UTC, by the clock of whoever says it; zero if nobody knows.
	Since time.Time `json:"since,omitzero"`
	// WayOut is what to do, as a clause.
	WayOut string `json:"wayOut"`
}

// NoteStore reads and writes notes.
type NoteStore interface {
	// Note returns the image's note, the zero one if there is none or if it cannot be
	// understood.
	Note(ctx context.Context, image Image) (Note, error)
	// PutNote stores a note over the one that is there.
	PutNote(ctx context.Context, image Image, note Note) error
}

// NoteObject is the name of the RADOS object that holds the note of the image with that ID. Ids
// have no dots, so no record has such a name.
func NoteObject(imageID string) string { return "cephferry.note." + imageID }

// Encode returns the bytes to store.
func (n Note) Encode() []byte {
	data, err := json.Marshal(n)
	if err != nil {
		panic(err) // strings, numbers and times always marshal
	}
	return data
}

// DecodeNote parses stored bytes. What is not a note is the zero one.
func DecodeNote(data []byte) Note {
	var note Note
	if json.Unmarshal(data, &note) != nil {
		return Note{}
	}
	note.Pods, note.Missing = note.Pods[:min(len(note.Pods), MaxNoted)], note.Missing[:min(len(note.Missing), MaxNoted)]
	for i := range note.Pods {
		p := &note.Pods[i]
		p.Name, p.Node = oneLine(p.Name), oneLine(p.Node)
	}
	for i := range note.Missing {
		m := &note.Missing[i]
		m.Kind, m.Subject, m.What, m.WayOut = oneLine(m.Kind), oneLine(m.Subject), oneLine(m.What), oneLine(m.WayOut)
	}
	return note
}

// maxNotedText bounds a text of a note, in bytes.
const maxNotedText = 600

// oneLine is a text of another cluster's as people may see it on their terminals: it begins no
// line of its own and is not long.
func oneLine(text string) string {
	text = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, text)
	if len(text) > maxNotedText {
		text = strings.ToValidUTF8(text[:maxNotedText], "") + "…"
	}
	return text
}

// IsOf reports whether the note is about the record as it is.
func (n Note) IsOf(record Record) bool {
	return record.Owner != nil && n.Owner == record.Owner.UID && n.Epoch == record.Epoch
}

// Clause is what is missing, and since when.
func (m Missing) Clause() string {
	if m.Since.IsZero() {
		return m.What
	}
	return m.What + ", since " + m.Since.UTC().Format("2006-01-02 15:04:05 UTC")
}

// String is for one line.
func (m Missing) String() string { return m.Clause() + "; " + m.WayOut }
