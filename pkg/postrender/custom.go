package postrender

import (
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// template is a claim template in a custom resource.
type customTemplate struct {
	path  []string
	field *field.Path
	claim corev1.PersistentVolumeClaim
}

// carriers are the API groups, or group and kind, of objects whose claim templates are
// meant for somebody else: they hold values, patches, patterns or schemas.
var carriers = []string{
	"helm.toolkit.fluxcd.io", "kustomize.toolkit.fluxcd.io", "helm.cattle.io",
	"argoproj.io/Application", "argoproj.io/ApplicationSet",
	"kyverno.io", "policies.kyverno.io", "templates.gatekeeper.sh", "constraints.gatekeeper.sh", "mutations.gatekeeper.sh",
	"kustomize.config.k8s.io", "config.kubernetes.io", "fn.kpt.dev", "kpt.dev",
}

// isCustom reports whether the object is a custom resource whose operator makes claims
// from the templates in it.
func (o object) isCustom() bool {
	group := o.group()
	return strings.Contains(group, ".") && !strings.HasSuffix(group, ".k8s.io") &&
		!slices.Contains(carriers, group) && !slices.Contains(carriers, group+"/"+o.kind)
}

// isWorkload reports whether the object is one of Kubernetes' own that has pods. Their
// claim templates are of volumes that live as long as a pod.
func (o object) isWorkload() bool {
	return slices.Contains([]string{"", "apps", "batch"}, o.group()) && o.kind != "ConfigMap" && o.kind != "Secret"
}

// customTemplates are the claim templates of a custom resource: whatever is called
// volumeClaimTemplate, or is in a list called volumeClaimTemplates, and has a spec like
// that of a claim.
func (o object) customTemplates() []customTemplate {
	var found []customTemplate
	var walk func(value any, path []string, at *field.Path)
	add := func(value any, path []string, at *field.Path) {
		fields, ok := value.(map[string]any)
		if _, hasSpec := fields["spec"].(map[string]any); !ok || !hasSpec {
			return
		}
		next := customTemplate{path: slices.Clone(path), field: at}
		if o.decode(&next.claim, path...) == nil {
			found = append(found, next)
		}
	}
	walk = func(value any, path []string, at *field.Path) {
		switch value := value.(type) {
		case []any:
			for i, item := range value {
				walk(item, append(path, strconv.Itoa(i)), at.Index(i))
			}
		case map[string]any:
			for _, key := range sorted(value) {
				inner, innerAt := append(path, key), child(at, key)
				items, isList := value[key].([]any)
				switch {
				case key == templateField:
					add(value[key], inner, innerAt)
				case key == templatesField && isList:
					for i, item := range items {
						add(item, append(inner, strconv.Itoa(i)), innerAt.Index(i))
					}
				default:
					walk(value[key], inner, innerAt)
				}
			}
		}
	}
	walk(o.fields, nil, nil)
	return found
}
