package postrender

import (
	"bytes"
	"fmt"
	"slices"
	"sync"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/cephferry/cephferry/pkg/manifest"
)

// splice plans the edits of claims and templates, and the new objects before their
// origins.
func (p *planner) splice() error {
	for _, pair := range p.pairs {
		if pair.plan.Look {
			continue
		}
		made, err := pair.objects()
		if err != nil {
			return fmt.Errorf("%s: encode: %w", pair.label, err)
		}
		pair.origin.precede(made...)
		if !pair.ordinal {
			pair.edit(nil)
		}
	}
	for _, template := range p.templates {
		template.edit()
	}
	return nil
}

// rewrite returns the documents to write, nil if none changes.
func rewrite(documents []*document) ([]manifest.Document, error) {
	changed, errs := make([][]manifest.Document, len(documents)), make([]error, len(documents))
	var group sync.WaitGroup
	for i, d := range documents {
		if len(d.edits) > 0 || len(d.before) > 0 {
			group.Go(func() { changed[i], errs[i] = d.rewritten() })
		}
	}
	group.Wait()
	if i := slices.IndexFunc(errs, func(err error) bool { return err != nil }); i >= 0 {
		return nil, errs[i]
	}
	if !slices.ContainsFunc(changed, func(all []manifest.Document) bool { return len(all) > 0 }) {
		return nil, nil
	}
	var out []manifest.Document
	for i, d := range documents {
		if len(changed[i]) == 0 {
			out = append(out, d.Document)
			continue
		}
		if len(d.Marker) > 0 || len(out) == 0 {
			changed[i][0].Marker = d.Marker
		}
		out = append(out, changed[i]...)
	}
	return out, nil
}

// rewritten returns the new documents and the edited one.
func (d *document) rewritten() ([]manifest.Document, error) {
	var all []manifest.Document
	for _, object := range d.before {
		made, err := newDocument(d.Document, object)
		if err != nil {
			return nil, err
		}
		all = append(all, made)
	}
	edited, err := d.edited()
	if err != nil {
		return nil, err
	}
	if len(all) > 0 {
		edited = behind(edited)
	}
	return append(all, edited), nil
}

// behind is the document as it stands behind others: with a marker, unless it is one of
// several JSON values or its first line is the marker, and without a byte order mark.
func behind(d manifest.Document) manifest.Document {
	d.Body = bytes.TrimPrefix(d.Body, []byte("\ufeff"))
	d.Marker = nil
	if !d.Joined && !d.CarriesMarker() {
		d.Marker = []byte("---" + d.LineEnd())
	}
	return d
}

// edited is the document with its edits.
func (d *document) edited() (manifest.Document, error) {
	if len(d.edits) == 0 {
		return d.Document, nil
	}
	tree, err := d.parse()
	if err != nil {
		return manifest.Document{}, fmt.Errorf("parse the manifest%s: %w", in(d.Body), err)
	}
	edited, err := tree.Edit(d.edits...)
	if err != nil {
		return manifest.Document{}, fmt.Errorf("edit the manifest%s: %w; no output was written", in(d.Body), err)
	}
	return edited, nil
}

// newDocument holds an object that was made for d, with d's source comment.
func newDocument(d manifest.Document, object any) (manifest.Document, error) {
	made, err := d.NewDocument(object)
	if source := sourceComment().Find(d.Body); source != nil && err == nil {
		made.Body = slices.Concat(source, made.Body)
	}
	return made, err
}

// objects returns what is new: the PV, and for an ordinal its PVC.
func (p *pair) objects() ([]any, error) {
	volume, err := content(p.volume())
	if err != nil {
		return nil, err
	}
	// The type drops the field when it is empty; a PV and its claim should read
	// alike.
	if err := unstructured.SetNestedField(volume, "", "spec", "storageClassName"); err != nil {
		return nil, err
	}
	if !p.ordinal {
		return []any{volume}, nil
	}
	claim := p.claim.DeepCopy() // the template is compared with its request later
	claim.Spec.Resources.Requests[corev1.ResourceStorage] = p.capacity()
	made, err := content(claim)
	return []any{volume, made}, err
}

// content is what a typed object says, without a status.
func content(object runtime.Object) (map[string]any, error) {
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(object)
	delete(content, "status")
	return content, err
}
