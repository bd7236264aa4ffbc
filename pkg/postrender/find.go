package postrender

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"

	"k8s.io/apimachinery/pkg/util/validation/field"
	k8sjson "sigs.k8s.io/json"

	"github.com/cephferry/cephferry/pkg/manifest"
)

// word is what a document must mention to be looked at. It is part of every key of
// ours, and of what becomes of a key that a shell or Helm took apart.
const word = "cephferry"

// templateFields are the fields of workloads and custom resources that hold claim
// templates.
const templateField, templatesField = "volumeClaimTemplate", "volumeClaimTemplates"

// document is one document of the stream, and what becomes of it.
type document struct {
	manifest.Document
	// value is what it says, nil when it is not looked at.
	value any
	// mentions means that it may contain keys of ours.
	mentions bool
	edits    []manifest.Edit
	// before are new objects that go into documents of their own.
	before []any
	tree   *manifest.Tree
}

// parse returns the places of the values.
func (d *document) parse() (*manifest.Tree, error) {
	var err error
	if d.tree == nil {
		d.tree, err = d.Document.Parse()
	}
	return d.tree, err
}

// sourceComment is the line that Helm 3 puts above each rendered template, and by
// which `helm template --show-only` finds it in our output.
var sourceComment = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`(?m)^# Source: [^\r\n]*(\r?\n)?`)
})

// split cuts the stream and reads the documents that mention us, and those with claims
// if there are selectors. One that cannot be read is left to Helm, unless it looks like
// a claim. Documents that follow each other and are not looked at come as one.
func split(stream []byte, selecting bool) ([]*document, error) {
	if bytes.HasPrefix(stream, []byte{0xFF, 0xFE}) || bytes.HasPrefix(stream, []byte{0xFE, 0xFF}) {
		return nil, ErrUTF16
	}
	parts := manifest.Stretches(stream, len(stream)/stretch)
	documents, errs := make([][]*document, len(parts)), make([]error, len(parts))
	var group sync.WaitGroup
	end := 0
	for i, part := range parts {
		from := end
		group.Go(func() { documents[i], errs[i] = splitPart(stream, from, part, selecting) })
		end += len(part)
	}
	group.Wait()
	return slices.Concat(documents...), errors.Join(errs...)
}

// stretch is how many bytes are worth a goroutine.
const stretch = 1 << 20

// splitPart is split for a part of the stream that starts there.
func splitPart(stream []byte, from int, part []byte, selecting bool) ([]*document, error) {
	var documents []*document
	var errs []error
	looksAt := func(text []byte) (looked, mentions bool) {
		mentions = manifest.Mentions(text, word)
		return mentions || selecting && hasClaims(text), mentions
	}
	some, _ := looksAt(part)
	passing := false // the last of documents is not looked at
	for d := range manifest.Split(part) {
		if !some { // all pass, and need not be told apart
			d.Body, d.Offset = part[d.Offset:], from+d.Offset
			return []*document{{Document: d}}, nil
		}
		d.Offset += from
		looked, mentions := looksAt(d.Body)
		if !looked && passing {
			last := documents[len(documents)-1]
			last.Body = stream[last.Offset : d.Offset+len(d.Body)]
			continue
		}
		doc := &document{Document: d, mentions: mentions}
		documents, passing = append(documents, doc), !looked
		if !looked {
			continue
		}
		var err error
		if doc.value, err = d.Read(); err != nil && hasClaims(d.Body) {
			errs = append(errs, fmt.Errorf("parse the manifest that starts at line %d%s: %w", 1+bytes.Count(stream[:d.Offset], []byte("\n")), in(d.Body), err))
		}
	}
	return documents, errors.Join(errs...)
}

// hasClaims reports whether a text may hold claims or claim templates.
func hasClaims(text []byte) bool {
	return manifest.Mentions(text, "PersistentVolumeClaim") || manifest.Mentions(text, "StatefulSet") || manifest.Mentions(text, templateField)
}

func in(body []byte) string {
	if source := sourceComment().Find(body); source != nil {
		return " (" + strings.TrimSpace(strings.TrimPrefix(string(source), "# Source: ")) + ")"
	}
	return ""
}

// object is one Kubernetes object of the stream, alone in a document or an item
// of a List.
type object struct {
	in *document
	// path leads to it in the document; it is empty for the document itself.
	path   []string
	fields map[string]any
	// apiVersion and kind are those of the list for an item of a PersistentVolumeClaimList,
	// which need not say them.
	apiVersion, kind string
	// insertable means that objects of any kind may be put before it in its list.
	insertable bool
}

func (o object) is(apiVersion, kind string) bool { return o.apiVersion == apiVersion && o.kind == kind }

func (o object) isClaim() bool { return o.is("v1", "PersistentVolumeClaim") }

func (o object) isStatefulSet() bool { return o.is("apps/v1", "StatefulSet") }

// group is the API group, empty for the core group.
func (o object) group() string {
	group, _, ok := strings.Cut(o.apiVersion, "/")
	if !ok {
		return ""
	}
	return group
}

// name and namespace are as the manifest has them.
func (o object) name() string      { return text(mapping(o.fields, "metadata"), "name") }
func (o object) namespace() string { return text(mapping(o.fields, "metadata"), "namespace") }

// label names the object for people. namespace may be empty.
func (o object) label(namespace string) string { return label(o.kind, namespace, o.name()) }

func label(kind, namespace, name string) string {
	if namespace != "" {
		name = namespace + "/" + name
	}
	return strings.TrimSpace(kind + " " + name)
}

// decode fills a typed object from what the fields at the path say. Fields that the type
// does not know are passed over: the API server is the judge of those.
func (o object) decode(into any, path ...string) error {
	data, err := json.Marshal(manifest.At(o.fields, path))
	if err == nil {
		err = k8sjson.UnmarshalCaseSensitivePreserveInts(data, into)
	}
	if err != nil {
		return fmt.Errorf("decode: %w", err)
	}
	return nil
}

// at is the path of something in the object, in its document.
func (o object) at(path ...string) []string { return slices.Concat(o.path, path) }

// set plans that the field of the claim at the path becomes a string.
func (o object) set(claim []string, value string, field ...string) {
	o.in.edits = append(o.in.edits, manifest.Set(o.at(claim...), field, value))
}

// remove plans that the field of the claim at the path goes.
func (o object) remove(claim []string, field ...string) {
	o.in.edits = append(o.in.edits, manifest.Remove(o.at(claim...), field))
}

// precede plans that new objects come before this one.
func (o object) precede(made ...any) {
	if o.insertable {
		o.in.edits = append(o.in.edits, manifest.Insert(o.path, made...))
	} else {
		o.in.before = append(o.in.before, made...)
	}
}

// objects returns the objects of the documents that were read, those in lists too.
func objects(documents []*document) []object {
	var all []object
	for _, d := range documents {
		all = appendObjects(all, object{in: d}, d.value)
	}
	return all
}

func appendObjects(all []object, o object, value any) []object {
	fields, ok := value.(map[string]any)
	if !ok {
		return all
	}
	o.fields = fields
	if kind := text(fields, "kind"); kind != "" {
		o.apiVersion, o.kind = text(fields, "apiVersion"), kind
	}
	items, ok := fields["items"].([]any)
	item := object{in: o.in}
	switch {
	case !ok:
		return append(all, o)
	case o.kind == "List" || o.kind == "ResourceList":
		item.insertable = true
	case o.is("v1", "PersistentVolumeClaimList"), o.is("apps/v1", "StatefulSetList"):
		item.apiVersion, item.kind = o.apiVersion, strings.TrimSuffix(o.kind, "List")
	default:
		return append(all, o)
	}
	for i, value := range items {
		item.path = slices.Concat(o.path, []string{"items", strconv.Itoa(i)})
		all = appendObjects(all, item, value)
	}
	return all
}

// mapping is the mapping at the path below fields, nil if there is none.
func mapping(fields map[string]any, path ...string) map[string]any {
	for _, name := range path {
		fields, _ = fields[name].(map[string]any)
	}
	return fields
}

func text(fields map[string]any, name string) string {
	value, _ := fields[name].(string)
	return value
}

// sorted are the keys of a mapping in order.
func sorted(fields map[string]any) []string { return slices.Sorted(maps.Keys(fields)) }

// child is path.Child, also for the nil path of a whole object.
func child(path *field.Path, name string) *field.Path {
	if path == nil {
		return field.NewPath(name)
	}
	return path.Child(name)
}
