package postrender

import (
	"errors"
	"fmt"
	"path"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/cephferry/cephferry/pkg/annotations"
	"github.com/cephferry/cephferry/pkg/claims"
)

// Selector picks claims and claim templates whose chart has no value for the annotation:
//
//	KIND/NAME[:TEMPLATE][,class=CLASS][,labels=SELECTOR]
//
// KIND is that of a PVC, a StatefulSet or a custom resource, in any case. KIND, NAME,
// TEMPLATE, the name of a claim template, and CLASS, which the claim names, may have the
// wildcards of [path.Match]. SELECTOR is a label selector for the labels of the object; it
// comes last, as it may contain commas.
type Selector struct {
	text                        string
	kind, name, template, class string
	labels                      labels.Selector
}

// kinds are the short names that kubectl knows.
var kinds = map[string]string{"pvc": "persistentvolumeclaim", "sts": "statefulset"}

// ParseSelector reads a selector.
func ParseSelector(text string) (Selector, error) {
	s := Selector{text: text, labels: labels.Everything()}
	fail := func(err error) (Selector, error) { return Selector{}, fmt.Errorf("select %q: %w", text, err) }
	rest, selector, labelled := strings.Cut(text, ",labels=")
	if labelled {
		var err error
		if s.labels, err = labels.Parse(selector); err != nil {
			return fail(err)
		}
	}
	object, option, hasOption := strings.Cut(rest, ",")
	if class, ok := strings.CutPrefix(option, "class="); ok && class != "" {
		s.class = class
	} else if hasOption {
		return fail(fmt.Errorf("%q is neither class=CLASS nor labels=SELECTOR", option))
	}
	kind, name, ok := strings.Cut(object, "/")
	name, s.template, _ = strings.Cut(name, ":")
	if !ok || kind == "" || name == "" {
		return fail(errors.New("must begin with KIND/NAME, such as StatefulSet/db:data or PersistentVolumeClaim/*"))
	}
	s.kind, s.name = strings.ToLower(kind), name
	if long, ok := kinds[s.kind]; ok {
		s.kind = long
	}
	for _, pattern := range []string{s.kind, s.name, s.template, s.class} {
		if _, err := path.Match(pattern, ""); err != nil {
			return fail(fmt.Errorf("pattern %q: %w", pattern, err))
		}
	}
	return s, nil
}

// String is the selector as it was written.
func (s Selector) String() string { return s.text }

// matches reports whether the selector picks the claim of the object. A PVC is its own
// claim, and has no template.
func (s Selector) matches(o object, claim *corev1.PersistentVolumeClaim) bool {
	template, class := claim.Name, ""
	if o.isClaim() {
		template = ""
	}
	if name := claims.ClassName(claim); name != nil {
		class = *name
	}
	own := labels.Set{}
	for key, value := range mapping(o.fields, "metadata", "labels") {
		own[key], _ = value.(string)
	}
	return match(s.kind, strings.ToLower(o.kind)) && match(s.name, o.name()) &&
		(s.template == "" || match(s.template, template) && !o.isClaim()) &&
		(s.class == "" || match(s.class, class)) && s.labels.Matches(own)
}

func match(pattern, name string) bool {
	ok, _ := path.Match(pattern, name) // the pattern is known to be good
	return ok
}

// selection is the selectors of a run, and which of them picked something.
type selection struct {
	selectors []Selector
	used      []bool
}

func newSelection(selectors []Selector) *selection {
	return &selection{selectors, make([]bool, len(selectors))}
}

// pick returns the first selector that picks a claim which says nothing of itself, and
// makes the claim migratable. A claim that is opted out stays so.
func (s *selection) pick(o object, claim *corev1.PersistentVolumeClaim) string {
	picked := ""
	for i, selector := range s.selectors {
		if !selector.matches(o, claim) {
			continue
		}
		s.used[i] = true
		if _, says := claim.Annotations[annotations.Migratable]; picked == "" && !says {
			picked = selector.text
		}
	}
	if picked != "" {
		if claim.Annotations == nil {
			claim.Annotations = map[string]string{}
		}
		claim.Annotations[annotations.Migratable] = "true"
	}
	return picked
}

// mistakes are the selectors that picked nothing, unless there were no documents.
func (s *selection) mistakes(documents int) Mistakes {
	var mistakes Mistakes
	for i, selector := range s.selectors {
		if documents > 0 && !s.used[i] {
			mistakes = append(mistakes, Mistake{"--select " + selector.text, errors.New("matches no claim and no claim template of these manifests")})
		}
	}
	return mistakes
}
