package annotations

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"

	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Meant matches every key whose author meant this project, spelled right or not:
// without the dot that --set took for a step into a map, with the backslash that
// was to escape it, with a capital, with a hyphen in the name. It is in RE2's
// syntax, because the chart's policies match keys with it too; a test compares
// the two.
const Meant = `(?i)^\W*ceph[-_]?ferry(\W*|\W+io\b.*|/.*|.*migratable\W*)$`

var meant = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(Meant)
})

// NearMisses reports keys in the metadata of a claim, or of a claim template, whose
// author clearly meant one of [Keys], and which nobody reads: misspelled
// annotations, and labels. Keys of annotations under [Prefix] are left to [Parse].
// path is that of the metadata.
//
//	helm --set 'annotations.cephferry.io/migratable=true'   →  cephferry: map[io/migratable:true]
//	helm --set 'annotations.cephferry\.io/migratable=true'  →  cephferry.io/migratable: true
func NearMisses(labels, annotations map[string]string, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	for _, key := range slices.Sorted(maps.Keys(annotations)) {
		if !strings.HasPrefix(key, Prefix) && meant().MatchString(key) {
			errs = append(errs, field.Invalid(path.Child("annotations").Key(key), annotations[key], fmt.Sprintf(
				`is not a key of cephferry; write %s: "true"; with helm's --set, escape the dot: 'cephferry\.io/migratable'`, Migratable)))
		}
	}
	for _, key := range slices.Sorted(maps.Keys(labels)) {
		if meant().MatchString(key) {
			errs = append(errs, field.Forbidden(path.Child("labels").Key(key), "has no effect as a label; write it as an annotation"))
		}
	}
	return errs
}
