package postrender

import (
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/kustomize/kyaml/yaml"
	k8syaml "sigs.k8s.io/yaml"

	"github.com/cephferry/cephferry/pkg/manifest"
)

// splice edits the claims and templates, puts the new objects before their
// origins, and returns the documents to write.
func (p *planner) splice(documents []document) ([]manifest.Document, error) {
	// By the origin's YAML node, which is either a document's root or an item of
	// a List.
	before := map[*yaml.Node][]*yaml.RNode{}
	for _, pair := range p.pairs {
		if pair.look {
			continue
		}
		made, err := pair.objects()
		if err != nil {
			return nil, fmt.Errorf("%s: encode: %w", pair.label, err)
		}
		origin := pair.origin.node.YNode()
		before[origin] = append(before[origin], made...)
		if !pair.ordinal {
			if err := pair.editClaim(pair.origin.node); err != nil {
				return nil, fmt.Errorf("%s: edit: %w", pair.label, err)
			}
		}
	}
	for _, template := range p.templates {
		if err := template.edit(); err != nil {
			return nil, fmt.Errorf("%s: edit: %w", template.origin.label(""), err)
		}
		if origin := template.origin.node.YNode(); before[origin] == nil {
			before[origin] = nil // it changes, with nothing new before it
		}
	}
	return rewrite(documents, before)
}

// rewrite returns the documents to write: those that have an object of before are
// encoded anew, with its new objects before it, which may be none.
func rewrite(documents []document, before map[*yaml.Node][]*yaml.RNode) ([]manifest.Document, error) {
	var out []manifest.Document
	for _, d := range documents {
		if d.root == nil || !insert(d.root, before) {
			out = append(out, d.Document)
			continue
		}
		var rewritten []manifest.Document
		for _, node := range before[d.root.YNode()] {
			made, err := newDocument(d, node)
			if err != nil {
				return nil, err
			}
			rewritten = append(rewritten, made)
		}
		edited, err := d.NewDocument(d.root)
		if err != nil {
			return nil, err
		}
		rewritten = append(rewritten, edited)
		if len(d.Marker) > 0 || len(out) == 0 {
			rewritten[0].Marker = d.Marker
		}
		out = append(out, rewritten...)
	}
	return out, nil
}

// insert puts new objects before their origins in Lists below node. It reports
// whether node or anything below it is an origin.
func insert(node *yaml.RNode, before map[*yaml.Node][]*yaml.RNode) bool {
	_, changed := before[node.YNode()]
	items := listItems(node)
	if items == nil {
		return changed
	}
	var content []*yaml.Node
	for _, item := range items.Content {
		for _, made := range before[item] {
			content = append(content, made.YNode())
		}
		content = append(content, item)
		changed = insert(yaml.NewRNode(item), before) || changed
	}
	items.Content = slices.Clip(content)
	return changed
}

// newDocument holds an object that was made for d, with d's source comment.
func newDocument(d document, object *yaml.RNode) (manifest.Document, error) {
	made, err := d.NewDocument(object)
	if source := sourceComment.Find(d.Body); source != nil && err == nil {
		made.Body = slices.Concat(source, []byte(d.LineEnd()), made.Body)
	}
	return made, err
}

// objects returns what is new: the PV, and for an ordinal its PVC.
func (p *pair) objects() ([]*yaml.RNode, error) {
	// The type drops the field when it is empty; a PV and its claim should read
	// alike.
	volume, err := encode(p.volume(), "spec", "storageClassName")
	if err != nil {
		return nil, err
	}
	if !p.ordinal {
		return []*yaml.RNode{volume}, nil
	}
	claim := p.claim.DeepCopy() // the template is compared with its request later
	claim.Spec.Resources.Requests[corev1.ResourceStorage] = p.capacity()
	node, err := encode(claim)
	return []*yaml.RNode{volume, node}, err
}

// encode makes a YAML node of a typed object, with sorted keys, and with an empty
// string at the path, if there is one.
func encode(object runtime.Object, empty ...string) (*yaml.RNode, error) {
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(object)
	if err != nil {
		return nil, err
	}
	delete(content, "status")
	if len(empty) > 0 {
		if err := unstructured.SetNestedField(content, "", empty...); err != nil {
			return nil, err
		}
	}
	text, err := k8syaml.Marshal(content)
	if err != nil {
		return nil, err
	}
	return yaml.Parse(string(text))
}

// setString sets the field at the path to a string, in quotes: Helm reads YAML
// 1.1, in which a plain y, no or 0644 is not a string.
func setString(node *yaml.RNode, value string, path ...string) error {
	parent, err := node.Pipe(yaml.LookupCreate(yaml.MappingNode, path[:len(path)-1]...))
	if err != nil {
		return err
	}
	name := path[len(path)-1]
	scalar := parent.Field(name)
	if scalar == nil {
		quoted := yaml.NewStringRNode(value)
		quoted.YNode().Style = yaml.DoubleQuotedStyle
		return parent.PipeE(yaml.SetField(name, quoted))
	}
	old := scalar.Value.YNode()
	old.Kind, old.Tag, old.Value, old.Style, old.Content = yaml.ScalarNode, yaml.NodeTagString, value, yaml.DoubleQuotedStyle, nil
	return nil
}
