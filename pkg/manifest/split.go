package manifest

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"iter"
)

// Document is one document of a stream.
type Document struct {
	// Marker is the line that starts the document, "---" with its line end, and
	// is empty for text before the first marker. A marker line that carries
	// content, as in "--- {a: b}", belongs to the body.
	Marker []byte
	// Body is everything up to the next marker.
	Body []byte
	// Offset is where the body starts in the stream, in bytes.
	Offset int
	// Joined means that the document is one of several JSON values that follow each
	// other without a marker, as kubectl reads them.
	Joined bool
}

// Split cuts a stream at its document markers. The documents' markers and
// bodies, one after the other, are the stream again. Empty input has no
// documents.
func Split(stream []byte) iter.Seq[Document] {
	return func(yield func(Document) bool) {
		var current Document
		end := 0 // of what belongs to documents already
		for {
			next := nextMarker(stream, end)
			current.Body = stream[current.Offset:next]
			if len(current.Marker) > 0 || len(current.Body) > 0 {
				if !cutJSON(current, yield) {
					return
				}
			}
			if next == len(stream) {
				return
			}
			line := stream[next : next+lineLength(stream[next:])]
			if end = next + len(line); isBareMarker(line) {
				current = Document{Marker: line, Offset: end}
			} else {
				current = Document{Offset: next}
			}
		}
	}
}

// CarriesMarker reports whether the body begins with a marker line that carries content.
func (d Document) CarriesMarker() bool { return isMarker(d.Body) }

// Stretches cuts a stream into at most n parts of about one size, which can be split at
// the same time: the documents of the parts are those of the stream.
func Stretches(stream []byte, n int) [][]byte {
	var parts [][]byte
	start := 0
	for i := 1; i < n; i++ {
		middle := len(stream) * i / n
		line := bytes.IndexByte(stream[middle:], '\n')
		if line < 0 {
			break
		}
		if next := nextMarker(stream, middle+line); next > start && next < len(stream) {
			parts, start = append(parts, stream[start:next]), next
		}
	}
	return append(parts, stream[start:])
}

// cutJSON yields the JSON values that the document consists of, or the document
// itself.
func cutJSON(d Document, yield func(Document) bool) bool {
	text := withoutBOM(d.Body)
	if !bytes.HasPrefix(bytes.TrimSpace(text), []byte("{")) || json.Valid(text) {
		return yield(d)
	}
	for _, value := range jsonValues(d, text) {
		if !yield(value) {
			return false
		}
	}
	return true
}

// jsonValues returns the JSON values that text, which is the document's body without byte
// order mark, consists of, or the document itself.
func jsonValues(d Document, text []byte) []Document {
	var values []Document
	bom, from := len(d.Body)-len(text), 0
	for decoder := json.NewDecoder(bytes.NewReader(text)); ; {
		var value json.RawMessage
		err := decoder.Decode(&value)
		if errors.Is(err, io.EOF) && len(values) > 0 {
			last := &values[len(values)-1]
			last.Body = d.Body[last.Offset-d.Offset:]
			return values
		} else if err != nil {
			return []Document{d}
		}
		to := bom + int(decoder.InputOffset())
		if line := d.Body[to : to+lineLength(d.Body[to:])]; len(bytes.TrimSpace(line)) == 0 {
			to += len(line)
		}
		next := Document{Body: d.Body[from:to], Offset: d.Offset + from, Joined: true}
		if len(values) == 0 {
			next.Marker = d.Marker
		}
		values, from = append(values, next), to
	}
}

// Write is the reverse of Split. A body that lacks the final line end gets one if
// another document follows. Nothing is copied but through a small buffer: a large
// stream is not in memory twice.
func Write(out io.Writer, documents []Document) error {
	buffered := bufio.NewWriterSize(out, 64<<10)
	var last []byte
	for _, d := range documents {
		if len(last) > 0 && last[len(last)-1] != '\n' && (len(d.Marker) > 0 || !d.Joined) {
			buffered.WriteByte('\n')
		}
		for _, text := range [][]byte{d.Marker, d.Body} {
			buffered.Write(text)
			if len(text) > 0 {
				last = text
			}
		}
	}
	return buffered.Flush() // has the error of whichever write failed
}

// nextMarker returns the offset of the first marker line at or after from, where
// a line starts or ends, or the length of the stream.
func nextMarker(stream []byte, from int) int {
	if isMarker(stream[from:]) {
		return from
	}
	for {
		i := bytes.Index(stream[from:], []byte("---"))
		if i < 0 {
			return len(stream)
		}
		from += i
		if from > 0 && stream[from-1] == '\n' && isMarker(stream[from:]) {
			return from
		}
		from++
	}
}

// isMarker reports whether text starts with "---", alone on its line or followed
// by white space. A byte order mark may stand before it at the start of a stream
// (YAML 1.2.2, 5.2).
func isMarker(text []byte) bool {
	rest, ok := bytes.CutPrefix(withoutBOM(text), []byte("---"))
	return ok && (len(rest) == 0 || bytes.IndexByte([]byte(" \t\r\n"), rest[0]) >= 0)
}

func isBareMarker(line []byte) bool {
	return string(bytes.TrimSpace(withoutBOM(line))) == "---"
}

func lineLength(text []byte) int {
	if i := bytes.IndexByte(text, '\n'); i >= 0 {
		return i + 1
	}
	return len(text)
}

func withoutBOM(text []byte) []byte {
	return bytes.TrimPrefix(text, []byte("\ufeff"))
}
