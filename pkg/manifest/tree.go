package manifest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"sync"
	"unicode/utf16"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// Tree is a document with the places of its values.
type Tree struct {
	document Document
	root     *yaml.Node
	// lines are the offsets at which the lines of the parsed text start, and marks
	// lead from there to the body.
	text  []byte
	lines []int
	marks []mark
}

// mergeTag is the tag of the key "<<".
const mergeTag = "!!merge"

// mark says that from an offset of the parsed text on, the body is so much longer.
type mark struct{ at, longer int }

// Parse returns the document with the places of its values. A document without
// content is an error.
func (d Document) Parse() (*Tree, error) {
	t := &Tree{document: d}
	t.text, t.marks = d.parsable()
	decoder := yaml.NewDecoder(bytes.NewReader(t.text))
	var node, second yaml.Node
	if err := decoder.Decode(&node); err != nil {
		return nil, err
	}
	if err := decoder.Decode(&second); err == nil {
		return nil, fmt.Errorf("line %d: a second document starts without \"---\"", second.Line)
	} else if !errors.Is(err, io.EOF) {
		return nil, err
	}
	t.root = node.Content[0]
	t.lines = lineStarts(t.text)
	return t, nil
}

// Repeated returns an error for the first key that stands twice in the mapping at
// the path, if there is a mapping: YAML forbids it, and readers differ in which of
// the two they take.
func (t *Tree) Repeated(path ...string) error {
	node := t.find(path)
	if node == nil || node.Kind != yaml.MappingNode {
		return nil
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(node.Content); i += 2 {
		key, line := node.Content[i], node.Content[i].Line
		if key.Kind == yaml.AliasNode {
			key = key.Alias
		}
		if key.Tag == mergeTag || key.Kind != yaml.ScalarNode {
			continue
		}
		if seen[key.Value] {
			return fmt.Errorf("line %d: key %q stands twice in one mapping", line, key.Value)
		}
		seen[key.Value] = true
	}
	return nil
}

// find returns the node at the path, through aliases, or nil.
func (t *Tree) find(path []string) *yaml.Node {
	node := t.root
	for _, step := range path {
		if node = child(node, step); node == nil {
			return nil
		}
		if node.Kind == yaml.AliasNode {
			node = node.Alias
		}
	}
	return node
}

// child returns the value of a key, or the item at an index, or nil.
func child(node *yaml.Node, step string) *yaml.Node {
	switch node.Kind {
	case yaml.MappingNode:
		if i := keyIndex(node, step); i >= 0 {
			return node.Content[i+1]
		}
	case yaml.SequenceNode:
		if i, err := strconv.Atoi(step); err == nil && i < len(node.Content) {
			return node.Content[i]
		}
	case yaml.DocumentNode, yaml.ScalarNode, yaml.AliasNode:
	}
	return nil
}

// keyIndex returns where the last key of that name is in the content of a mapping,
// or -1.
func keyIndex(mapping *yaml.Node, name string) int {
	for i := len(mapping.Content) - 2; i >= 0; i -= 2 {
		if key := mapping.Content[i]; key.Kind == yaml.ScalarNode && key.Value == name {
			return i
		}
	}
	return -1
}

// parsable is the body without what the YAML parser takes wrongly: a byte order mark,
// and the two escapes of JSON that it does not know.
func (d Document) parsable() ([]byte, []mark) {
	body := withoutBOM(d.Body)
	marks := []mark{{0, len(d.Body) - len(body)}}
	if !d.isJSON() {
		return body, marks
	}
	var text []byte
	end := 0
	for _, at := range jsonEscape().FindAllIndex(body, -1) {
		escape := body[at[0]:at[1]]
		replaced := yamlEscape(escape)
		text = append(append(text, body[end:at[0]]...), replaced...)
		if end = at[1]; len(replaced) != len(escape) {
			marks = append(marks, mark{len(text), marks[len(marks)-1].longer + len(escape) - len(replaced)})
		}
	}
	return append(text, body[end:]...), marks
}

// jsonEscape matches one escape of a JSON string, a surrogate pair as one.
var jsonEscape = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`\\(u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|.)`)
})

// yamlEscape replaces the two escapes of JSON that the YAML parser does not know.
func yamlEscape(escape []byte) []byte {
	switch {
	case string(escape) == `\/`:
		return []byte("/")
	case len(escape) == len(`\ud83d\ude00`):
		high, _ := strconv.ParseUint(string(escape[2:6]), 16, 32)
		low, _ := strconv.ParseUint(string(escape[8:12]), 16, 32)
		return utf8.AppendRune(nil, utf16.DecodeRune(rune(high), rune(low)))
	}
	return escape
}

// lineStarts are the offsets of the lines of a text, as the parser counts them.
func lineStarts(text []byte) []int {
	starts := []int{0}
	for i := 0; i < len(text); {
		r, size := utf8.DecodeRune(text[i:])
		i += size
		switch r {
		case '\r':
			if i < len(text) && text[i] == '\n' {
				i++
			}
			starts = append(starts, i)
		case '\n', '\u0085', '\u2028', '\u2029':
			starts = append(starts, i)
		}
	}
	return starts
}

// offset is where the node starts in the body.
func (t *Tree) offset(node *yaml.Node) int {
	at := t.lines[min(max(node.Line, 1), len(t.lines))-1]
	for range node.Column - 1 {
		_, size := utf8.DecodeRune(t.text[at:])
		at += size
	}
	longer := 0
	for _, m := range t.marks {
		if m.at <= at {
			longer = m.longer
		}
	}
	return at + longer
}
