package postrender

import (
	"bytes"
	"errors"
	"fmt"
	"iter"
	"regexp"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/json"
	"sigs.k8s.io/kustomize/kyaml/yaml"
	k8syaml "sigs.k8s.io/yaml"

	"github.com/cephferry/cephferry/pkg/annotations"
	"github.com/cephferry/cephferry/pkg/manifest"
)

// word is what a document must mention to be looked at. Without the slash, so
// that no way of escaping the slash in JSON hides it.
var word = strings.TrimSuffix(annotations.Prefix, "/")

// object is one Kubernetes object of the stream, alone in a document or an item
// of a List.
type object struct {
	node *yaml.RNode
	// source is Helm 3's comment with the template's name, or empty.
	source string
}

func (o object) is(apiVersion, kind string) bool {
	return o.node.GetApiVersion() == apiVersion && o.node.GetKind() == kind
}

func (o object) isClaim() bool { return o.is("v1", "PersistentVolumeClaim") }

func (o object) isStatefulSet() bool { return o.is("apps/v1", "StatefulSet") }

// label names the object for people. namespace may be empty.
func (o object) label(namespace string) string {
	return label(o.node.GetKind(), namespace, o.node.GetName())
}

func label(kind, namespace, name string) string {
	if namespace != "" {
		name = namespace + "/" + name
	}
	return strings.TrimSpace(kind + " " + name)
}

// decode fills a typed object, with the words of YAML 1.1 and dates read as Helm
// reads them. Fields that the type does not know are passed over: the API server
// is the judge of those.
func (o object) decode(into any) error {
	text, err := o.node.String()
	if err != nil {
		return fmt.Errorf("decode: %w", err)
	}
	data, err := k8syaml.YAMLToJSON([]byte(text))
	if err != nil {
		return fmt.Errorf("decode: %w", err)
	}
	if err := json.UnmarshalCaseSensitivePreserveInts(data, into); err != nil {
		return fmt.Errorf("decode: %w", err)
	}
	return nil
}

// document is one document of the stream; root is nil when it was not looked at.
type document struct {
	manifest.Document
	root *yaml.RNode
}

// sourceComment is the line that Helm 3 puts above each rendered template, and by
// which `helm template --show-only` finds it in our output.
var sourceComment = regexp.MustCompile(`(?m)^# Source: [^\r\n]*`)

// split cuts the stream and parses the documents that mention our annotations.
func split(stream []byte) ([]document, error) {
	if bytes.HasPrefix(stream, []byte{0xFF, 0xFE}) || bytes.HasPrefix(stream, []byte{0xFE, 0xFF}) {
		return nil, ErrUTF16
	}
	var documents []document
	var errs []error
	for _, d := range manifest.Split(stream) {
		doc := document{Document: d}
		if manifest.Mentions(d.Body, word) {
			var err error
			if doc.root, err = d.Parse(); err != nil {
				errs = append(errs, fmt.Errorf("parse the manifest that starts at line %d%s: %w", 1+bytes.Count(stream[:d.Offset], []byte("\n")), in(d.Body), err))
			}
		}
		documents = append(documents, doc)
	}
	return documents, errors.Join(errs...)
}

func in(body []byte) string {
	if source := sourceComment.Find(body); source != nil {
		return " (" + strings.TrimPrefix(string(source), "# Source: ") + ")"
	}
	return ""
}

// objects returns the objects of the parsed documents, those in Lists too.
func objects(documents []document) []object {
	var all []object
	for _, d := range documents {
		if d.root == nil || d.root.YNode().Kind != yaml.MappingNode {
			continue
		}
		source := string(sourceComment.Find(d.Body))
		var walk func(node *yaml.RNode)
		walk = func(node *yaml.RNode) {
			items := listItems(node)
			if items == nil {
				all = append(all, object{node, source})
				return
			}
			for _, item := range items.Content {
				if item.Kind == yaml.MappingNode {
					walk(yaml.NewRNode(item))
				}
			}
		}
		walk(d.root)
	}
	return all
}

// listItems returns the items of a Kubernetes List or a KRM ResourceList, which
// may hold objects of any kind, and nil for other objects.
func listItems(node *yaml.RNode) *yaml.Node {
	if kind := node.GetKind(); kind != "List" && kind != "ResourceList" {
		return nil
	}
	items := node.Field("items")
	if items == nil || items.Value.YNode().Kind != yaml.SequenceNode {
		return nil
	}
	return items.Value.YNode()
}

// misshapen reports what is wrong with an object before it is decoded.
func misshapen(o object) field.ErrorList {
	errs := stray(o)
	switch {
	case o.isClaim():
		errs = append(errs, malformedClaim(o.node, nil)...)
	case o.isStatefulSet():
		errs = append(errs, malformedTemplates(o)...)
	}
	return errs
}

// stray reports annotations of ours where they have no effect although the author
// clearly meant a claim: a guard must not be lost by a wrong indentation.
func stray(o object) field.ErrorList {
	isClaim, isSet := o.isClaim(), o.isStatefulSet()
	isList := strings.HasSuffix(o.node.GetKind(), "List")
	paths := mentions(o.node.YNode(), nil)
	templated := isSet && slices.ContainsFunc(paths, onTemplate.MatchString)
	var errs field.ErrorList
	for _, path := range paths {
		inTemplate := strings.Contains(path, "volumeClaimTemplate")
		switch {
		case isClaim && !strings.HasPrefix(path, "metadata.annotations["),
			isSet && inTemplate && !onTemplate.MatchString(path):
			errs = append(errs, field.Forbidden(field.NewPath(path), "has no effect here; it belongs into the claim's metadata.annotations"))
		case isSet && !inTemplate && !templated:
			errs = append(errs, field.Forbidden(field.NewPath(path), "has no effect here; it belongs on entries of spec.volumeClaimTemplates, and none has it"))
		case !isClaim && !isSet && (inTemplate || isList):
			errs = append(errs, field.Forbidden(field.NewPath(path), "has no effect here; only a PersistentVolumeClaim (v1) and the volumeClaimTemplates of a StatefulSet (apps/v1), alone or in a List (v1), can be migratable"))
		}
	}
	return errs
}

// onTemplate matches the path of an annotation on a claim template.
var onTemplate = regexp.MustCompile(`^spec\.volumeClaimTemplates\[\d+\]\.metadata\.annotations\[`)

// mentions returns the paths of all keys of ours at or below node.
func mentions(node *yaml.Node, path *field.Path) []string {
	var found []string
	for i, value := range node.Content {
		switch {
		case node.Kind == yaml.SequenceNode:
			found = append(found, mentions(value, path.Index(i))...)
		case i%2 == 0: // a key, with its value behind it
			if strings.HasPrefix(value.Value, annotations.Prefix) {
				found = append(found, path.Key(value.Value).String())
			}
		default:
			found = append(found, mentions(value, child(path, node.Content[i-1].Value))...)
		}
	}
	return found
}

func child(path *field.Path, name string) *field.Path {
	if path == nil {
		return field.NewPath(name)
	}
	return path.Child(name)
}

// malformedClaim reports what would fail to decode without naming the field:
// annotations of ours that are not strings (without quotes, YAML makes true a
// boolean, and the API server refuses the object), and quantities that are none.
// path leads to the claim.
func malformedClaim(claim *yaml.RNode, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	at := child(path, "metadata").Child("annotations")
	for key, value := range entries(claim, "metadata", "annotations") {
		if strings.HasPrefix(key, annotations.Prefix) && value.ShortTag() != yaml.NodeTagString {
			errs = append(errs, field.Invalid(at.Key(key), value.Value, "must be a string: put it in quotes"))
		}
	}
	at = child(path, "spec").Child("resources", "requests")
	for key, value := range entries(claim, "spec", "resources", "requests") {
		if _, err := resource.ParseQuantity(value.Value); err != nil {
			errs = append(errs, field.Invalid(at.Key(key), value.Value, "must be a quantity such as 10Gi"))
		}
	}
	return errs
}

// malformedTemplates is malformedClaim for the claim templates of a StatefulSet.
func malformedTemplates(o object) field.ErrorList {
	var errs field.ErrorList
	templates, err := o.node.Pipe(yaml.Lookup("spec", "volumeClaimTemplates"))
	if err != nil || templates == nil {
		return nil
	}
	for i, template := range templates.Content() {
		errs = append(errs, malformedClaim(yaml.NewRNode(template), field.NewPath("spec", "volumeClaimTemplates").Index(i))...)
	}
	return errs
}

// entries iterates over the mapping at the path below node, if there is one.
func entries(node *yaml.RNode, path ...string) iter.Seq2[string, *yaml.Node] {
	return func(yield func(string, *yaml.Node) bool) {
		mapping, err := node.Pipe(yaml.Lookup(path...))
		if err != nil || mapping == nil || mapping.YNode().Kind != yaml.MappingNode {
			return
		}
		for i, content := 0, mapping.Content(); i+1 < len(content); i += 2 {
			if !yield(content[i].Value, content[i+1]) {
				return
			}
		}
	}
}
