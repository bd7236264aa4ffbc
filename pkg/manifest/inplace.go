package manifest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// errNotInPlace means that the lines of an edit cannot be edited.
var errNotInPlace = errors.New("the lines cannot be edited in place")

// addition is a field that a mapping gets: a string, or a mapping of further
// additions.
type addition struct {
	name   string
	value  string
	fields []*addition
}

// changes are those of one run of splices, by the mapping that they are in.
type changes struct {
	removed map[*yaml.Node]bool
	added   map[*yaml.Node][]*addition
	// mappings are the keys of added, in the order in which they came up.
	mappings []*yaml.Node
}

// splices are the edits as changes of bytes. They rest on where the parser saw the
// values, and on nothing being special about them; who calls this proves the result.
func (t *Tree) splices(edits []Edit) ([]splice, error) {
	c := changes{map[*yaml.Node]bool{}, map[*yaml.Node][]*addition{}, nil}
	var all []splice
	for _, kind := range []editKind{remove, set, insert} {
		for _, edit := range edits {
			if edit.kind != kind {
				continue
			}
			next, err := t.splice(edit, &c)
			if err != nil {
				return nil, err
			}
			all = append(all, next...)
		}
	}
	for _, mapping := range c.mappings {
		next, err := t.add(mapping, c.added[mapping], c.removed)
		if err != nil {
			return nil, err
		}
		all = append(all, next)
	}
	return all, nil
}

func (t *Tree) splice(edit Edit, c *changes) ([]splice, error) {
	path := edit.full()
	parent := t.root
	for i, step := range path[:len(path)-1] {
		next := child(parent, step)
		switch {
		case next == nil && edit.kind == remove:
			return nil, nil
		case next == nil && edit.kind == set && parent.Kind == yaml.MappingNode && !merges(parent):
			c.add(parent, path[i:], edit.value)
			return nil, nil
		case next == nil || next.Kind != yaml.MappingNode && next.Kind != yaml.SequenceNode:
			return nil, errNotInPlace
		}
		parent = next
	}
	name := path[len(path)-1]
	switch value := child(parent, name); {
	case edit.kind == insert && value != nil:
		next, err := t.insert(parent, value, edit.items)
		return []splice{next}, err
	case edit.kind == insert:
		return nil, errNotInPlace
	case parent.Kind != yaml.MappingNode || merges(parent):
		return nil, errNotInPlace
	case edit.kind == remove && value == nil:
		return nil, nil
	case edit.kind == remove:
		i := keyIndex(parent, name)
		c.removed[parent.Content[i]] = true
		next, err := t.remove(parent, i)
		return []splice{next}, err
	case value == nil:
		c.add(parent, path[len(path)-1:], edit.value)
		return nil, nil
	case value.Kind == yaml.ScalarNode && value.ShortTag() == "!!str" && value.Value == edit.value:
		return nil, nil
	default:
		next, err := t.replace(value, edit.value)
		return []splice{next}, err
	}
}

// merges reports whether a mapping has a merge key, which may bring any key.
func merges(mapping *yaml.Node) bool {
	return slices.ContainsFunc(mapping.Content, func(n *yaml.Node) bool { return n.Tag == mergeTag })
}

// add notes that the mapping gets the field at the path, which it lacks altogether.
func (c *changes) add(mapping *yaml.Node, path []string, value string) {
	if c.added[mapping] == nil {
		c.mappings = append(c.mappings, mapping)
	}
	c.added[mapping] = with(c.added[mapping], path, value)
}

func with(fields []*addition, path []string, value string) []*addition {
	i := slices.IndexFunc(fields, func(a *addition) bool { return a.name == path[0] })
	if i < 0 {
		i, fields = len(fields), append(fields, &addition{name: path[0]})
	}
	if len(path) == 1 {
		fields[i].value = value
	} else {
		fields[i].fields = with(fields[i].fields, path[1:], value)
	}
	return fields
}

// add puts the fields before the first key of the mapping that stays.
func (t *Tree) add(mapping *yaml.Node, fields []*addition, removed map[*yaml.Node]bool) (splice, error) {
	body, first := t.document.Body, -1
	for i := 0; i < len(mapping.Content) && first < 0; i += 2 {
		if !removed[mapping.Content[i]] {
			first = i
		}
	}
	if first < 0 {
		from := t.offset(mapping)
		rest, ok := bytes.CutPrefix(body[from:], []byte("{"))
		if !ok || len(mapping.Content) > 0 || !bytes.HasPrefix(bytes.TrimLeft(rest, " "), []byte("}")) {
			return splice{}, errNotInPlace
		}
		return splice{from, from + bytes.IndexByte(body[from:], '}') + 1, []byte("{" + flow(fields, true) + "}")}, nil
	}
	from := t.offset(mapping.Content[first])
	indent, own := t.margin(from)
	if mapping.Style&yaml.FlowStyle == 0 {
		margin := strings.Repeat(" ", mapping.Content[first].Column-1)
		return splice{from, from, []byte(block(fields, margin, t.lineEnd(from)))}, nil
	}
	text := flow(fields, mapping.Content[first].Style&yaml.DoubleQuotedStyle != 0) + ","
	if own {
		return splice{from, from, []byte(text + t.lineEnd(from) + string(indent))}, nil
	}
	return splice{from, from, []byte(text + " ")}, nil
}

// block writes fields before a key of a block mapping that has the margin.
func block(fields []*addition, margin, end string) string {
	var text strings.Builder
	for _, f := range fields {
		if f.fields == nil {
			fmt.Fprintf(&text, "%s: %s%s%s", f.name, quoted(f.value), end, margin)
			continue
		}
		inner := margin + "  "
		fmt.Fprintf(&text, "%s:%s%s%s%s", f.name, end, inner, strings.TrimSuffix(block(f.fields, inner, end), inner), margin)
	}
	return text.String()
}

// flow writes fields as in a flow mapping; with quoted keys it is JSON too.
func flow(fields []*addition, quotedKeys bool) string {
	var texts []string
	for _, f := range fields {
		name, value := f.name, quoted(f.value)
		if quotedKeys {
			name = quoted(name)
		}
		if f.fields != nil {
			value = "{" + flow(f.fields, quotedKeys) + "}"
		}
		texts = append(texts, name+": "+value)
	}
	return strings.Join(texts, ", ")
}

// quoted is a string in quotes: Helm reads YAML 1.1, in which a plain y, no or 0644
// is not a string.
func quoted(value string) string {
	text, _ := json.Marshal(value) // a string never fails
	return string(text)
}

// replace makes a scalar a string.
func (t *Tree) replace(node *yaml.Node, value string) (splice, error) {
	from, to, err := t.extent(node)
	text := quoted(value)
	if from == to && from > 0 && t.document.Body[from-1] == ':' { // a null that is only implied
		text = " " + text
	}
	return splice{from, to, []byte(text)}, err
}

// remove takes the key at that index of the mapping's content, and its value.
func (t *Tree) remove(mapping *yaml.Node, i int) (splice, error) {
	body, from := t.document.Body, t.offset(mapping.Content[i])
	_, to, err := t.extent(mapping.Content[i+1])
	if err != nil {
		return splice{}, err
	}
	if mapping.Style&yaml.FlowStyle != 0 {
		switch {
		case i+2 < len(mapping.Content):
			return splice{from, t.offset(mapping.Content[i+2]), nil}, nil
		case i > 0:
			_, before, err := t.extent(mapping.Content[i-1])
			return splice{before, to, nil}, err
		}
		return splice{}, errNotInPlace
	}
	indent, own := t.margin(from)
	if !own {
		return splice{}, errNotInPlace
	}
	if rest := bytes.TrimLeft(body[to:to+lineLength(body[to:])], " \t"); len(bytes.TrimSpace(rest)) > 0 && rest[0] != '#' {
		return splice{}, errNotInPlace
	}
	return splice{from - len(indent), to + lineLength(body[to:]), nil}, nil
}
