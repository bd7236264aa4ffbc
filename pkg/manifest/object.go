package manifest

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// insert puts items before an item of a list.
func (t *Tree) insert(list, item *yaml.Node, items []any) (splice, error) {
	if list.Kind != yaml.SequenceNode {
		return splice{}, errNotInPlace
	}
	from := t.offset(item)
	before, own := t.margin(from)
	if list.Style&yaml.FlowStyle != 0 {
		separator := ", "
		if own {
			separator = "," + t.lineEnd(from) + string(before)
		}
		var text []byte
		for _, next := range items {
			encoded, err := json.Marshal(next)
			if err != nil {
				return splice{}, err
			}
			text = append(append(text, encoded...), separator...)
		}
		return splice{from, from, text}, nil
	}
	dash := bytes.IndexByte(before, '-')
	if dash < 0 || len(bytes.TrimSpace(before)) != 1 {
		return splice{}, errNotInPlace
	}
	var text []byte
	for _, next := range items {
		encoded, err := Document{}.encode(next)
		if err != nil {
			return splice{}, err
		}
		end := t.lineEnd(from)
		margin := string(before[:dash])
		lines := strings.ReplaceAll(strings.TrimSuffix(string(encoded), "\n"), "\n", end+margin+"  ")
		text = append(text, margin+"- "+lines+end...)
	}
	return splice{from - len(before), from - len(before), text}, nil
}

// encoded replaces an object by what it says after the edits, which are all of it.
func (t *Tree) encoded(edits []Edit) ([]splice, error) {
	var fields, inserts []Edit
	for _, edit := range edits {
		if edit.kind == insert {
			inserts = append(inserts, edit)
		} else {
			fields = append(fields, edit)
		}
	}
	all, err := t.splices(inserts)
	if err != nil {
		return nil, err
	}
	from, to, margin, err := t.blockExtent(edits[0].Object)
	if err != nil {
		return nil, err
	}
	value, err := t.document.Read()
	if err != nil {
		return nil, err
	}
	if value, err = apply(value, fields); err != nil {
		return nil, err
	}
	text, err := Document{}.encode(At(value, edits[0].Object))
	if err != nil {
		return nil, err
	}
	end := t.lineEnd(from)
	lines := strings.ReplaceAll(strings.TrimSuffix(string(text), "\n"), "\n", end+margin)
	if before, _ := t.margin(from); len(bytes.Trim(before, " -")) > 0 { // an anchor behind a key
		lines = end + margin + lines
	}
	return append(all, splice{from, to, []byte(lines + end)}), nil
}

// blockExtent is where an object in block style starts and ends in the body, with the
// end of its last line, and the margin of its lines. Blank lines and comments behind it
// stay.
func (t *Tree) blockExtent(path []string) (from, to int, margin string, err error) {
	if len(path) == 0 {
		return 0, 0, "", errNotInPlace // the document, then
	}
	node, next := t.root, (*yaml.Node)(nil)
	for _, step := range path {
		inner := child(node, step)
		if inner == nil || node.Style&yaml.FlowStyle != 0 {
			return 0, 0, "", errNotInPlace
		}
		if i := slices.Index(node.Content, inner) + 1; i < len(node.Content) {
			next = node.Content[i]
		}
		node = inner
	}
	if node.Kind != yaml.MappingNode || node.Style&yaml.FlowStyle != 0 || len(node.Content) == 0 {
		return 0, 0, "", errNotInPlace
	}
	body := t.document.Body
	from, to = t.offset(node), len(body)
	if next != nil {
		before, _ := t.margin(t.offset(next))
		to = t.offset(next) - len(before)
	}
	for to > from {
		start := bytes.LastIndexByte(body[:to-1], '\n') + 1
		if line := bytes.TrimSpace(body[start:to]); len(line) > 0 && line[0] != '#' || start <= from {
			break
		}
		to = start
	}
	return from, to, strings.Repeat(" ", node.Content[0].Column-1), nil
}

// head is what stands before the content of the document: comments, and Helm's line
// with the name of the template.
func (t *Tree) head() []byte {
	head := t.document.Body[:t.offset(t.root)]
	if i := bytes.LastIndexByte(head, '\n'); i >= 0 {
		return head[:i+1]
	}
	return nil
}
