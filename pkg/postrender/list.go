package postrender

import (
	"io"
	"strconv"

	"github.com/cephferry/cephferry/pkg/annotations"
	"github.com/cephferry/cephferry/pkg/staticpv"
)

// Listed is a claim that gets a volume from cephferry: a PVC, an ordinal of a
// StatefulSet, or a claim template of a custom resource.
type Listed struct {
	// Object is the kind and name of the object, such as "StatefulSet db".
	Object string
	// Claim is the name of the PVC, empty where an operator names it.
	Claim string
	// Selector picked it, if it has not the annotation itself.
	Selector string
	// Class is the StorageClass, empty for the default class.
	Class string
	// Image is the name of the image, empty if the claim's is.
	Image string
}

// List returns what [ForCluster] makes of a stream, without changing it. namespace is the
// release's, for objects that do not name theirs.
func List(in io.Reader, namespace string, selectors ...Selector) (all []Listed, notes []string, err error) {
	_, _, p, err := planForCluster(in, selectors)
	if err == nil {
		err = p.mistakes.err()
	}
	if err != nil {
		return nil, nil, err
	}
	for _, choice := range p.chosen {
		all = append(all, choice.list(namespace)...)
	}
	return all, p.notes, nil
}

// chosen is a claim that was found migratable.
type chosen struct {
	claimIn
	asked    annotations.Claim
	selector string
}

func (c chosen) list(namespace string) []Listed {
	if own := c.namespace(); own != "" {
		namespace = own
	}
	class := c.asked.Class
	if name := className(c.claim); name != "" {
		class = name
	}
	one := Listed{Object: c.label(namespace), Selector: c.selector, Class: class}
	switch {
	case c.isClaim():
		names := staticpv.NamesOf(namespace, c.claim.Name, c.asked)
		one.Claim, one.Image = names.Claim, names.Image
	case c.statefulSet != nil:
		return c.listOrdinals(one, namespace)
	}
	return []Listed{one}
}

// listOrdinals is a row for each ordinal. A StatefulSet that has none yet gets one that
// shows how they are named.
func (c chosen) listOrdinals(one Listed, namespace string) []Listed {
	start, count := ordinals(c.statefulSet, c.asked)
	var all []Listed
	for ordinal := start; ordinal < start+min(count, maxOrdinals); ordinal++ {
		names := staticpv.NamesOfOrdinal(namespace, staticpv.ClaimName(c.claim.Name, c.statefulSet.Name, ordinal), c.asked, ordinal)
		one.Claim, one.Image = names.Claim, names.Image
		all = append(all, one)
	}
	if len(all) == 0 {
		const placeholder = "<ordinal>"
		one.Claim = c.claim.Name + "-" + c.statefulSet.Name + "-" + placeholder
		one.Image = namespace + "." + one.Claim
		if c.asked.Image != "" {
			one.Image = c.asked.Image + "-" + placeholder
		}
		all = append(all, one)
	}
	return all
}

// Why says in a few words why the claim was chosen.
func (l Listed) Why() string {
	if l.Selector == "" {
		return "annotation"
	}
	return "--select " + strconv.Quote(l.Selector)
}
