package postrender

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"

	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/cephferry/cephferry/pkg/annotations"
)

// misshapen reports what is wrong with a claim or a StatefulSet before it is decoded.
// An object of another kind may say whatever it likes.
func misshapen(o object) []error {
	errs := o.repeated()
	var list field.ErrorList
	if o.isClaim() {
		list = malformedClaim(o.fields, nil)
	} else {
		list = malformedTemplates(o)
	}
	if len(list) == 0 {
		list = stray(o)
	}
	for _, err := range list {
		errs = append(errs, err)
	}
	return errs
}

// repeated reports keys that stand twice where the renderer reads or edits. Elsewhere
// they are between Helm and the author.
func (o object) repeated() []error {
	tree, err := o.in.parse()
	if err != nil {
		return []error{fmt.Errorf("parse the manifest%s: %w", in(o.in.Body), err)}
	}
	read := [][]string{nil, {"metadata"}, {"spec"}}
	claims := [][]string{nil}
	if o.isStatefulSet() {
		read = append(read, []string{"metadata", "annotations"}, []string{"spec", "selector", "matchLabels"})
		claims = nil
		templates, _ := mapping(o.fields, "spec")[templatesField].([]any)
		for i := range templates {
			claim := []string{"spec", templatesField, strconv.Itoa(i)}
			claims = append(claims, claim)
			read = append(read, slices.Concat(claim, []string{"metadata", "labels"})) // every ordinal gets them
		}
	}
	for _, claim := range claims {
		for _, path := range [][]string{nil, {"metadata"}, {"metadata", "annotations"}, {"spec"}, {"spec", "resources"}, {"spec", "resources", "requests"}} {
			read = append(read, slices.Concat(claim, path))
		}
	}
	var errs []error
	for _, path := range read {
		if err := tree.Repeated(o.at(path...)...); err != nil && !slices.ContainsFunc(errs, func(e error) bool { return e.Error() == err.Error() }) {
			errs = append(errs, fmt.Errorf("parse the manifest%s: %w", in(o.in.Body), err))
		}
	}
	return errs
}

// stray reports annotations of ours where they have no effect although the author
// clearly meant a claim: a guard must not be lost by a wrong indentation.
func stray(o object) field.ErrorList {
	isClaim, isSet := o.isClaim(), o.isStatefulSet()
	paths := mentions(o.fields, nil)
	templated := isSet && slices.ContainsFunc(paths, onTemplate().MatchString)
	var errs field.ErrorList
	for _, path := range paths {
		inTemplate := strings.Contains(path, templateField)
		switch {
		case isClaim && !strings.HasPrefix(path, "metadata.annotations["),
			isSet && inTemplate && !onTemplate().MatchString(path):
			errs = append(errs, field.Forbidden(field.NewPath(path), "has no effect here; move it to the claim's metadata.annotations"))
		case isSet && !inTemplate && !templated:
			errs = append(errs, field.Forbidden(field.NewPath(path), "has no effect here; annotate an entry of spec.volumeClaimTemplates instead; none has this annotation"))
		case !isClaim && !isSet && inTemplate:
			errs = append(errs, field.Forbidden(field.NewPath(path), "has no effect here; an ephemeral volume is deleted with its pod, and cannot be migratable"))
		}
	}
	return errs
}

// onTemplate matches the path of an annotation on a claim template.
var onTemplate = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^spec\.volumeClaimTemplates\[\d+\]\.metadata\.annotations\[`)
})

// mentions returns the paths of all keys of ours at or below value.
func mentions(value any, path *field.Path) []string {
	var found []string
	switch value := value.(type) {
	case []any:
		for i, item := range value {
			found = append(found, mentions(item, path.Index(i))...)
		}
	case map[string]any:
		for _, key := range sorted(value) {
			if strings.HasPrefix(key, annotations.Prefix) {
				found = append(found, path.Key(key).String())
			}
			found = append(found, mentions(value[key], child(path, key))...)
		}
	}
	return found
}

// malformedClaim reports what would fail to decode without naming the field: labels and
// annotations that are not strings (without quotes, YAML makes true, yes and on booleans,
// and the API server refuses the object), keys that were to be ours, and quantities that are
// none. path leads to the claim.
func malformedClaim(claim map[string]any, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	for _, name := range []string{"annotations", "labels"} {
		values := mapping(claim, "metadata", name)
		for _, key := range sorted(values) {
			if _, ok := values[key].(string); !ok && values[key] != nil {
				errs = append(errs, field.Invalid(child(path, "metadata").Child(name).Key(key), values[key], "must be a string: put it in quotes"))
			}
		}
	}
	metadata := mapping(claim, "metadata")
	errs = append(errs, annotations.NearMisses(texts(mapping(metadata, "labels")), texts(mapping(metadata, "annotations")), child(path, "metadata"))...)
	requests := mapping(claim, "spec", "resources", "requests")
	for _, key := range sorted(requests) {
		value := fmt.Sprint(requests[key])
		if _, err := resource.ParseQuantity(value); err != nil {
			errs = append(errs, field.Invalid(child(path, "spec").Child("resources", "requests").Key(key), value, "must be a quantity such as 10Gi"))
		}
	}
	return errs
}

// texts are the fields that are strings.
func texts(fields map[string]any) map[string]string {
	all := map[string]string{}
	for key, value := range fields {
		if text, ok := value.(string); ok {
			all[key] = text
		}
	}
	return all
}

// malformedTemplates is malformedClaim for the claim templates of a StatefulSet.
func malformedTemplates(o object) field.ErrorList {
	path := field.NewPath("spec", templatesField)
	value := mapping(o.fields, "spec")[templatesField]
	templates, ok := value.([]any)
	if !ok && value != nil {
		return field.ErrorList{field.TypeInvalid(path, "a mapping or a string", "must be a list of claim templates")}
	}
	var errs field.ErrorList
	for i, template := range templates {
		claim, ok := template.(map[string]any)
		if !ok && template != nil {
			errs = append(errs, field.TypeInvalid(path.Index(i), "a list or a text", "must be a claim template"))
		}
		errs = append(errs, malformedClaim(claim, path.Index(i))...)
	}
	return errs
}
