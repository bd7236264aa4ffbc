package manifest

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
)

// Edit is one change of a document.
type Edit struct {
	// Object leads to the object that changes: keys of mappings and indexes of
	// lists, nothing for the document itself.
	Object []string
	// Path leads from the object to the field.
	Path []string

	kind  editKind
	value string
	items []any
}

type editKind int

const (
	set editKind = iota
	remove
	insert
)

// Set makes the field of the object a string, with the mappings on the way to it.
func Set(object, path []string, value string) Edit {
	return Edit{Object: object, Path: path, kind: set, value: value}
}

// Remove takes the field from the object, if it has it.
func Remove(object, path []string) Edit {
	return Edit{Object: object, Path: path, kind: remove}
}

// Insert puts items before the object, which is an item of a list.
func Insert(object []string, items ...any) Edit {
	return Edit{Object: object, kind: insert, items: items}
}

func (e Edit) full() []string { return slices.Concat(e.Object, e.Path) }

// apply carries out the edits on what a document says. It changes value in place,
// and returns it. Edits stand in the order of the document, so that inserting from
// the last one on moves no item that is still looked for.
func apply(value any, edits []Edit) (any, error) {
	for _, edit := range edits {
		if edit.kind == insert {
			continue
		}
		if err := applyToField(value, edit); err != nil {
			return nil, err
		}
	}
	for _, edit := range slices.Backward(edits) {
		if edit.kind != insert {
			continue
		}
		list, index := edit.Object[:len(edit.Object)-1], edit.Object[len(edit.Object)-1]
		var err error
		if value, err = insertItems(value, list, index, edit.items); err != nil {
			return nil, err
		}
	}
	return value, nil
}

var errNoField = errors.New("the field is not where it was looked for")

func applyToField(value any, edit Edit) error {
	path := edit.full()
	for _, step := range path[:len(path)-1] {
		switch parent := value.(type) {
		case []any:
			i, err := strconv.Atoi(step)
			if err != nil || i >= len(parent) {
				return errNoField
			}
			value = parent[i]
		case map[string]any:
			if parent[step] == nil {
				if edit.kind == remove {
					return nil
				}
				parent[step] = map[string]any{}
			}
			value = parent[step]
		default:
			return errNoField
		}
	}
	fields, ok := value.(map[string]any)
	if !ok {
		return errNoField
	}
	if name := path[len(path)-1]; edit.kind == remove {
		delete(fields, name)
	} else {
		fields[name] = edit.value
	}
	return nil
}

// insertItems returns value with the items before that index of the list at the
// path.
func insertItems(value any, path []string, index string, items []any) (any, error) {
	if len(path) == 0 {
		list, ok := value.([]any)
		i, err := strconv.Atoi(index)
		if !ok || err != nil || i > len(list) {
			return nil, errNoField
		}
		return slices.Insert(list, i, items...), nil
	}
	var err error
	switch parent := value.(type) {
	case map[string]any:
		parent[path[0]], err = insertItems(parent[path[0]], path[1:], index, items)
	case []any:
		var i int
		if i, err = strconv.Atoi(path[0]); err == nil && i < len(parent) {
			parent[i], err = insertItems(parent[i], path[1:], index, items)
		}
	default:
		err = errNoField
	}
	return value, err
}

// Edit returns the document with the edits, which stand in the order of the
// document. Everything else that Helm 3, Helm 4 or kubectl reads in it is as
// before, or there is an error that names what would change.
func (t *Tree) Edit(edits ...Edit) (Document, error) {
	var failed error
	for _, attempt := range []func([]Edit) ([]byte, error){t.inPlace, t.byObject, t.whole} {
		body, err := attempt(edits)
		if err == nil {
			after := t.document
			after.Body = body
			if err = prove(t.document, after, edits); err == nil {
				return after, nil
			}
		}
		failed = err
	}
	return Document{}, fmt.Errorf("edit the lines: %w", failed)
}

// byObject edits objects in place where that proves right, and encodes the others
// anew.
func (t *Tree) byObject(edits []Edit) ([]byte, error) {
	var splices []splice
	for len(edits) > 0 {
		same := 1
		for same < len(edits) && slices.Equal(edits[same].Object, edits[0].Object) {
			same++
		}
		next, err := t.splices(edits[:same])
		if err == nil {
			body, spliceErr := spliced(t.document.Body, next)
			if err = spliceErr; err == nil {
				err = prove(t.document, Document{Body: body}, edits[:same])
			}
		}
		if err != nil {
			if next, err = t.encoded(edits[:same]); err != nil {
				return nil, err
			}
		}
		splices = append(splices, next...)
		edits = edits[same:]
	}
	return spliced(t.document.Body, splices)
}

// whole encodes the document anew, from what it says.
func (t *Tree) whole(edits []Edit) ([]byte, error) {
	value, err := t.document.Read()
	if err != nil {
		return nil, err
	}
	if value, err = apply(value, edits); err != nil {
		return nil, err
	}
	body, err := t.document.encode(value)
	if err != nil {
		return nil, err
	}
	return slices.Concat(t.head(), body), nil
}

// inPlace edits the lines.
func (t *Tree) inPlace(edits []Edit) ([]byte, error) {
	splices, err := t.splices(edits)
	if err != nil {
		return nil, err
	}
	return spliced(t.document.Body, splices)
}

// splice replaces the bytes of a body from one offset to another.
type splice struct {
	from, to int
	text     []byte
}

var errOverlap = errors.New("two edits are of the same lines")

func spliced(body []byte, splices []splice) ([]byte, error) {
	slices.SortStableFunc(splices, func(a, b splice) int { return a.from - b.from })
	var out []byte
	end := 0
	for _, s := range splices {
		if s.from < end {
			return nil, errOverlap
		}
		out = append(append(out, body[end:s.from]...), s.text...)
		end = s.to
	}
	return append(out, body[end:]...), nil
}
