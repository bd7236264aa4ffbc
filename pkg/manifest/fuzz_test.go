package manifest_test

import (
	"bytes"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cephferry/cephferry/pkg/manifest"
)

// FuzzSplit checks that no byte of a stream is lost, moved or added.
func FuzzSplit(f *testing.F) {
	for _, stream := range streams {
		f.Add([]byte(stream.text))
	}
	f.Fuzz(func(t *testing.T, stream []byte) { checkSplit(t, stream) })
}

func checkSplit(t *testing.T, stream []byte) {
	t.Helper()
	documents := slices.Collect(manifest.Split(stream))
	var parts []byte
	for i, d := range documents {
		if len(d.Marker) == 0 && len(d.Body) == 0 {
			t.Errorf("document %d is empty", i)
		}
		parts = slices.Concat(parts, d.Marker)
		if d.Offset != len(parts) {
			t.Errorf("document %d: offset %d, but its body starts at %d", i, d.Offset, len(parts))
		}
		parts = slices.Concat(parts, d.Body)
	}
	if !bytes.Equal(parts, stream) {
		t.Errorf("markers and bodies are not the stream:\n%q\n%q", parts, stream)
	}
	for n := range 5 {
		var got []manifest.Document
		from := 0
		for _, part := range manifest.Stretches(stream, n) {
			for d := range manifest.Split(part) {
				d.Offset += from
				got = append(got, d)
			}
			from += len(part)
		}
		if diff := cmp.Diff(documents, got); diff != "" {
			t.Errorf("in %d stretches (-want +got):\n%s", n, diff)
		}
	}
	var written bytes.Buffer
	if err := manifest.Write(&written, documents); err != nil || !bytes.Equal(written.Bytes(), stream) {
		t.Errorf("Write does not write the stream (%v):\n%q\n%q", err, written.Bytes(), stream)
	}
}
