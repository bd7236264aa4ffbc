//go:build lab

package chart

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/cephferry/cephferry/pkg/annotations"
	"github.com/cephferry/cephferry/test/scene"
)

const (
	byPost = "If this is from a chart, helm was called without the post-renderer: pass --post-renderer postrender (Helm 4: --post-renderer cephferry) " +
		`at every install and upgrade. Without the post-renderer, write storageClassName: ""`
	orNot      = "If a volume of this cluster alone is wanted, remove the annotation cephferry.io/migratable."
	newVolume  = ": it would become a new, empty volume that no other cluster has. "
	needsClass = `cephferry.io/migratable needs the class "", and there is `
	ofCeph     = needsClass + "class ceph-block" + newVolume + byPost + " and the annotation cephferry.io/class: ceph-block. " + orNot
	ofNone     = needsClass + "no storageClassName" + newVolume + byPost + ". " + orNot
	unheard    = "no annotation of cephferry is called "
	write      = `. Write cephferry.io/migratable: "true"; with --set of helm, escape the dot: cephferry\.io/migratable. The others are cephferry.io/image, `
	asLabel    = " has no effect as a label. Write it as an annotation."
	mustBe     = `the annotation cephferry.io/migratable must be there with the value "true", or "false",`
	noEffect   = "cephferry.io/migratable has no effect on a claim that has a volume already and class ceph-block."
	// byServer is what the API server itself says about a key.
	byServer = "name part must consist of|a lowercase RFC 1123 subdomain must consist of"
	bigValue = 200 << 10
)

// TestUnrendered: while no webhook answers, the policies refuse claims that are about
// to become something else than their author meant, and leave alone what is there.
func TestUnrendered(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.install(t, nobody(t), startRecorder(t).ca(), "dead")
	w.namespace(t, "shop", false)

	// What was there before the policies.
	w.applyObject(t, pvc("pending", "ceph-block", "", map[string]string{annotations.Migratable: "true"}, nil))
	w.applyObject(t, pvc("strange", "ceph-block", "", map[string]string{"cephferry": "map[io/migratable:true]"}, nil))
	w.applyObject(t, pvc("bound", "ceph-block", "volume", map[string]string{annotations.Migratable: "true"}, nil))
	w.applyObject(t, pvc("dynamic", "ceph-block", "volume", nil, nil))
	w.applyObject(t, pvc("plain", "ceph-block", "", nil, nil))
	w.applyObject(t, pvc("classless", "-", "", map[string]string{annotations.Migratable: "true"}, nil))
	w.applyObject(t, set("before", template("ceph-block", map[string]string{annotations.Migratable: "true"})))
	w.kubectl(t, "wait", "--for=create", "--timeout=60s", "--namespace=shop", "pvc/data-before-0")

	w.policies(t, "Deny")
	t.Run("the expressions fit the types", func(t *testing.T) {
		scene.Eventually(t, "the controller's opinion", func() error {
			seen := w.kubectl(t, "get", "validatingadmissionpolicies", `--output=jsonpath={.items[*].status.observedGeneration}`)
			if strings.Count(seen, "1") != 3 {
				return fmt.Errorf("generations %q", seen)
			}
			return nil
		})
		if said := w.kubectl(t, "get", "validatingadmissionpolicies", `--output=jsonpath={.items[*].status.typeChecking.expressionWarnings}`); said != "" {
			t.Error(said)
		}
	})
	t.Run("claims", func(t *testing.T) { testUnrenderedClaims(t, w) })
	t.Run("templates", func(t *testing.T) { testUnrenderedTemplates(t, w) })
	t.Run("helm install", func(t *testing.T) { testUnrenderedInstall(t, w) })
	t.Run("helm upgrade", func(t *testing.T) { testUnrenderedUpgrade(t, w) })
	t.Run("changes like those of an upgrade", func(t *testing.T) { testUpgradeNearMisses(t, w) })
	t.Run("what is immutable is compared first", func(t *testing.T) { testComparedFirst(t, w) })
	t.Run("another size in a claim template", func(t *testing.T) { testTemplateSize(t, w) })
	t.Run("what is there", func(t *testing.T) { testUnrenderedChanges(t, w) })
	t.Run("the StatefulSet controller", func(t *testing.T) { testUnrenderedOrdinals(t, w) })
	t.Run("a claim that has a volume is told only", func(t *testing.T) {
		for name, manifest := range map[string]corev1.PersistentVolumeClaim{
			noEffect:                         pvc("new", "ceph-block", "volume", map[string]string{annotations.Migratable: "true"}, nil),
			unheard + "cephferry" + write:    pvc("new", "ceph-block", "volume", map[string]string{"cephferry": "x"}, nil),
			annotations.Migratable + asLabel: pvc("new", "", "volume", nil, map[string]string{annotations.Migratable: "true"}),
		} {
			w.warned(t, name, w.creating(t, manifest)...)
		}
		w.warned(t, noEffect, "annotate", "--namespace=shop", "pvc/dynamic", "cephferry.io/migratable=true")
		if got := w.kubectl(t, "get", "--namespace=shop", "pvc/dynamic", `--output=jsonpath={.metadata.annotations.cephferry\.io/migratable}`); got != "true" {
			t.Errorf("it was refused: %q", got)
		}
		// And once only.
		w.kubectl(t, "label", "--namespace=shop", "pvc/dynamic", "a=b", "--warnings-as-errors")
	})
	t.Run("a default class", func(t *testing.T) {
		w.applyObject(t, storagev1.StorageClass{
			TypeMeta:   metav1.TypeMeta{APIVersion: "storage.k8s.io/v1", Kind: "StorageClass"},
			ObjectMeta: metav1.ObjectMeta{Name: "ceph-block", Annotations: map[string]string{"storageclass.kubernetes.io/is-default-class": "true"}},
			// Nothing of that name runs.
			Provisioner: "example.com/none",
		})
		scene.Eventually(t, "the default class", func() error {
			_, err := w.Run(t.Context(), w.creating(t, pvc("new", "-", "", map[string]string{annotations.Migratable: "true"}, nil))...)
			if err == nil || !strings.Contains(err.Error(), ofCeph) {
				return errors.Join(errors.New("it is not known yet"), err)
			}
			return nil
		})
		w.kubectl(t, append(w.creating(t, pvc("new", "", "", map[string]string{annotations.Migratable: "true"}, nil)), "--warnings-as-errors")...)
		// The binder gives the default class to claims that were there without one.
		scene.Eventually(t, "the class of a claim that is nobody's", func() error {
			w.kubectl(t, "apply", "--server-side", "--namespace=shop", "--filename", w.object(t, pvc("other", "-", "", nil, nil)))
			if got := w.kubectl(t, "get", "--namespace=shop", "pvc/other", "--output=jsonpath={.spec.storageClassName}"); got != "ceph-block" {
				return fmt.Errorf("it is %q", got)
			}
			return nil
		})
		if got := w.refused(t, "patch", "--namespace=shop", "pvc/classless", `--patch={"spec":{"storageClassName":"ceph-block"}}`); !strings.Contains(got, ofCeph) {
			t.Errorf("the class came later: %s", got)
		}
		w.kubectl(t, "patch", "--namespace=shop", "pvc/classless", `--patch={"spec":{"storageClassName":""}}`)
	})
	t.Run("Warn", func(t *testing.T) {
		w.policies(t, "Warn")
		w.warned(t, ofCeph, w.creating(t, pvc("new", "ceph-block", "", map[string]string{annotations.Migratable: "true"}, nil))...)
		w.warned(t, "claim template data: "+ofCeph, w.creating(t, set("new", template("ceph-block", map[string]string{annotations.Migratable: "true"})))...)
		w.applyObject(t, pvc("new", "ceph-block", "", map[string]string{annotations.Migratable: "true"}, nil))
	})
}

func testUnrenderedClaims(t *testing.T, w *world) {
	many := map[string]string{}
	for i := range 1000 {
		many[fmt.Sprint("example.com/cephferry-", i)] = "cephferry.io/migratable"
	}
	ours := func(pairs ...string) map[string]string {
		all := map[string]string{annotations.Migratable: "true"}
		for i := 0; i < len(pairs); i += 2 {
			all[pairs[i]] = pairs[i+1]
		}
		return all
	}
	for name, c := range map[string]struct {
		labels, annotations map[string]string
		class, volume       string
		// want is empty if the claim may pass, and else one of these.
		want string
	}{
		"somebody else's claim":           {class: "ceph-block"},
		"one with neither class nor keys": {class: "-"},
		"one with other keys": {class: "ceph-block", annotations: map[string]string{
			"helm.sh/resource-policy": "keep", "a.cephferry.io/b": "", "example.com/cephferry": "", "cephferry-note": "", "cephferry.example.com/team": ""},
			labels: map[string]string{"app.kubernetes.io/part-of": "cephferry", "cephferry-note": ""}},
		"one with a thousand keys":    {class: "ceph-block", annotations: many},
		"one with a large annotation": {class: "ceph-block", annotations: map[string]string{"a": strings.Repeat("cephferry ", bigValue/10)}},
		"a rendered claim":            {annotations: ours(annotations.Class, "ceph-block")},
		"one with every annotation": {annotations: ours(annotations.Class, "ceph-block", annotations.Image, "a", annotations.Adopt, "true",
			annotations.Size, "2Gi", annotations.Exclusive, "false", annotations.Keyed, "true")},
		"one of a template":                        {annotations: ours(annotations.Replicas, "2")},
		"a pair":                                   {volume: "shop.data", annotations: ours()},
		"a claim that was turned off":              {class: "ceph-block", annotations: map[string]string{annotations.Migratable: "false", annotations.Image: "a"}},
		"the renderer was forgotten":               {class: "ceph-block", annotations: ours(), want: ofCeph},
		"and the claim named its class by ours":    {class: "ceph-block", annotations: ours(annotations.Class, "ceph-block"), want: ofCeph},
		"and the chart has the old annotation":     {class: "-", annotations: ours(corev1.BetaStorageClassAnnotation, "ceph-block"), want: ofCeph},
		"the old annotation holds, not the field":  {class: "", annotations: ours(corev1.BetaStorageClassAnnotation, "ceph-block"), want: ofCeph},
		"and the chart has no class":               {class: "-", annotations: ours(), want: ofNone},
		"the dot was not escaped":                  {class: "ceph-block", annotations: map[string]string{"cephferry": "map[io/migratable:true]"}, want: unheard + "cephferry" + write},
		"the backslash went into the key":          {class: "ceph-block", annotations: map[string]string{`cephferry\.io/migratable`: "true"}, want: byServer},
		"a capital":                                {class: "ceph-block", annotations: map[string]string{"Cephferry.io/Migratable": "true"}, want: unheard + "Cephferry.io/Migratable" + write},
		"no domain":                                {class: "ceph-block", annotations: map[string]string{"cephferry/migratable": "true"}, want: unheard + "cephferry/migratable" + write},
		"no name":                                  {class: "ceph-block", annotations: map[string]string{"cephferry.io": "true"}, want: unheard + "cephferry.io" + write},
		"a hyphen":                                 {class: "ceph-block", annotations: map[string]string{"ceph-ferry.io/migratable": "true"}, want: unheard + "ceph-ferry.io/migratable" + write},
		"another domain":                           {class: "ceph-block", annotations: map[string]string{"cephferry.com/migratable": "true"}, want: unheard + "cephferry.com/migratable" + write},
		"a typo":                                   {class: "ceph-block", annotations: map[string]string{"cephferry.io/migrateable": "true"}, want: unheard + "cephferry.io/migrateable" + write},
		"a typo beside the right one":              {annotations: ours("cephferry.io/clas", "ceph-block"), want: unheard + "cephferry.io/clas" + write},
		"two typos":                                {annotations: ours("cephferry.io/clas", "a", "cephferry.io/sise", "a"), want: "cephferry.io/sise"},
		"a label":                                  {class: "ceph-block", labels: map[string]string{annotations.Migratable: "true"}, want: annotations.Migratable + asLabel},
		"a label beside the annotation":            {labels: map[string]string{annotations.Migratable: "true"}, annotations: ours(), want: annotations.Migratable + asLabel},
		"an unknown label":                         {class: "ceph-block", labels: map[string]string{"cephferry.io/x": "true"}, want: "cephferry.io/x" + asLabel},
		"a word that is no boolean":                {class: "ceph-block", annotations: map[string]string{annotations.Migratable: "yes"}, want: mustBe},
		"a value with a capital":                   {class: "ceph-block", annotations: map[string]string{annotations.Migratable: "True"}, want: mustBe},
		"no value":                                 {class: "ceph-block", annotations: map[string]string{annotations.Migratable: ""}, want: mustBe},
		"the others alone":                         {class: "ceph-block", annotations: map[string]string{annotations.Class: "ceph-block"}, want: mustBe},
		"the others alone, of a claim without one": {annotations: map[string]string{annotations.Class: "ceph-block"}, want: mustBe},
	} {
		t.Run(name, func(t *testing.T) {
			claim := pvc("new", c.class, c.volume, c.annotations, c.labels)
			w.judged(t, c.want, w.creating(t, claim)...)

			// The renderer, which reads templates too, refuses the same keys.
			_, errs := annotations.Parse(c.annotations, annotations.OnTemplate, nil)
			errs = append(errs, annotations.NearMisses(c.labels, c.annotations, field.NewPath("metadata"))...)
			if byKey := c.want != "" && c.want != ofCeph && c.want != ofNone; byKey != (len(errs) > 0) {
				t.Errorf("the policy refuses the keys: %v; the code: %v", byKey, errs)
			}
		})
	}
}

func testUnrenderedTemplates(t *testing.T, w *world) {
	ours := map[string]string{annotations.Migratable: "true"}
	plain := template("ceph-block", nil)
	plain.Name = "logs"
	for name, c := range map[string]struct {
		templates []corev1.PersistentVolumeClaim
		want      string
	}{
		"none":                       {nil, ""},
		"somebody else's":            {[]corev1.PersistentVolumeClaim{plain}, ""},
		"a rendered one":             {[]corev1.PersistentVolumeClaim{plain, template("", ours)}, ""},
		"the renderer was forgotten": {[]corev1.PersistentVolumeClaim{plain, template("ceph-block", ours)}, "claim template data: " + ofCeph},
		"without a class":            {[]corev1.PersistentVolumeClaim{template("-", ours)}, "claim template data: " + ofNone},
		"the dot was not escaped":    {[]corev1.PersistentVolumeClaim{plain, template("ceph-block", map[string]string{"cephferry": "map[io/migratable:true]"})}, unheard + "cephferry" + write},
		"a value with a capital":     {[]corev1.PersistentVolumeClaim{template("ceph-block", map[string]string{annotations.Migratable: "True"})}, mustBe},
	} {
		t.Run(name, func(t *testing.T) { w.judged(t, c.want, w.creating(t, set("new", c.templates...))...) })
	}
}

// testUnrenderedInstall: a person who forgot the renderer reads it from helm.
func testUnrenderedInstall(t *testing.T, w *world) {
	w.namespace(t, own, false)
	for _, c := range []struct {
		object any
		want   []string
	}{
		{pvc("data", "ceph-block", "", map[string]string{annotations.Migratable: "true"}, nil), []string{`persistentvolumeclaims "data" is forbidden`, ofCeph}},
		{set("db", template("ceph-block", map[string]string{annotations.Migratable: "true"})), []string{`statefulsets.apps "db" is forbidden`, "claim template data: " + ofCeph}},
		{pvc("range", "ceph-block", "", map[string]string{"cephferry": "map[io/migratable:true]"}, nil), []string{unheard + "cephferry" + write}},
	} {
		chart := w.chartOf(t, c.object)
		for _, helm := range []int{3, 4} {
			_, stderr, err := w.runHelm(t, helm, "install", "app", chart)
			for _, want := range c.want {
				if err == nil || !strings.Contains(stderr, want) {
					t.Errorf("Helm %d: %v\n%s\nwant in it: %s", helm, err, stderr, want)
				}
			}
			w.helm(t, helm, "uninstall", "app")
		}
	}
}

// chartOf writes a chart of these objects.
func (w *world) chartOf(t *testing.T, objects ...any) string {
	t.Helper()
	folder := t.TempDir()
	if err := os.Mkdir(filepath.Join(folder, "templates"), 0o700); err != nil {
		t.Fatal(err)
	}
	var manifests []byte
	for _, object := range objects {
		data, err := json.Marshal(object)
		if err != nil {
			t.Fatal(err)
		}
		manifests = append(append(manifests, "---\n"...), append(data, '\n')...)
	}
	for name, text := range map[string]string{"Chart.yaml": "{apiVersion: v2, name: app, version: 0.1.0}", "templates/a.yaml": string(manifests)} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return folder
}

// testUnrenderedChanges: whatever is there may be changed, in everything but what
// makes it worse.
func testUnrenderedChanges(t *testing.T, w *world) {
	for _, c := range []struct{ does, want string }{
		{"label pvc/pending a=b", ""},
		{"annotate pvc/pending volume.kubernetes.io/selected-node=n1", ""},
		{`patch pvc/pending --patch={"metadata":{"finalizers":["example.com/f"]}}`, ""},
		{`patch pvc/pending --type=merge --patch={"metadata":{"finalizers":null}}`, ""},
		{`patch pvc/pending --subresource=status --patch={"status":{"phase":"Pending","conditions":[{"type":"Stalled","status":"True"}]}}`, ""},
		{"annotate pvc/pending cephferry.io/clas=x", unheard + "cephferry.io/clas"},
		{"label pvc/pending cephferry.io/migratable=true", asLabel},
		{"annotate pvc/strange a=b", ""},
		{"annotate pvc/strange cephferry-", ""},
		{"annotate pvc/strange cephferry=x", unheard + "cephferry"},
		{"label pvc/bound a=b", ""},
		{"annotate pvc/bound cephferry.io/migratable-", ""},
		{"label pvc/plain a=b", ""},
		{"annotate pvc/plain cephferry.io/migratable=true", ofCeph},
		{"annotate pvc/plain cephferry.io/migratable=false", ""},
		{"annotate --overwrite pvc/plain cephferry.io/migratable=true", ofCeph},
		{"annotate pvc/plain cephferry.io/migratable-", ""},
		{"annotate pvc/pending cephferry.io/migratable-", ""},
		{"scale statefulset/before --replicas=2", ""},
		{"annotate statefulset/before a=b", ""},
		{"rollout restart statefulset/before", ""},
		{`patch statefulset/before --patch={"spec":{"minReadySeconds":1}}`, ""},
	} {
		t.Run(c.does, func(t *testing.T) {
			w.judged(t, c.want, append(strings.Fields(c.does), "--namespace=shop")...)
		})
	}
}

// testUnrenderedOrdinals: a StatefulSet that was there gets no further ordinals, and
// says why; one that was rendered does.
func testUnrenderedOrdinals(t *testing.T, w *world) {
	scene.Eventually(t, "the refusal of the second ordinal's claim", func() error {
		events := w.kubectl(t, "get", "events", "--namespace=shop", "--field-selector=reason=FailedCreate,involvedObject.name=before", "--output=jsonpath={.items[*].message}")
		if !strings.Contains(events, `"data-before-1" is forbidden`) || !strings.Contains(events, ofCeph) {
			return fmt.Errorf("events: %s", events)
		}
		return nil
	})
	w.kubectl(t, "get", "--namespace=shop", "pvc/data-before-0")
	w.applyObject(t, set("rendered", template("", map[string]string{annotations.Migratable: "true", annotations.Class: "ceph-block"})))
	w.kubectl(t, "scale", "statefulset/rendered", "--replicas=2", "--namespace=shop")
	for _, ordinal := range []string{"0", "1"} {
		w.kubectl(t, "wait", "--for=create", "--timeout=60s", "--namespace=shop", "pvc/data-rendered-"+ordinal)
	}
}

// policies installs the policies, and returns when the API server uses them.
func (w *world) policies(t *testing.T, action string) {
	t.Helper()
	w.apply(t, "", w.helm(t, 3, "template", "cephferry", chartDir, "--set", "cluster.name=west,unrendered.action="+action,
		"--show-only", "templates/unrendered.yaml", "--api-versions", "admissionregistration.k8s.io/v1/MutatingAdmissionPolicy"))
	for _, object := range []any{
		pvc("probe", "ceph-block", "", map[string]string{annotations.Migratable: "true"}, nil),
		pvc("probe", "ceph-block", "volume", map[string]string{annotations.Migratable: "true"}, nil),
		set("probe", template("ceph-block", map[string]string{annotations.Migratable: "true"})),
	} {
		scene.Eventually(t, "the policies", func() error {
			out, err := w.Run(t.Context(), append(w.creating(t, object), "--warnings-as-errors")...)
			if err == nil {
				return fmt.Errorf("they are not in use: %s", out)
			}
			if denied := strings.Contains(err.Error(), "denied request"); action == "Warn" && denied {
				return err
			}
			return nil
		})
	}
}

// judged runs kubectl, which must succeed without a warning, or be refused with that
// text or one of those.
func (w *world) judged(t *testing.T, want string, args ...string) {
	t.Helper()
	if want == "" {
		w.kubectl(t, append(args, "--warnings-as-errors")...)
		return
	}
	got := w.refused(t, args...)
	for _, one := range strings.Split(want, "|") {
		if strings.Contains(got, one) {
			return
		}
	}
	t.Errorf("refused with %s\nwant in it: %s", got, want)
}

// warned runs kubectl, which must succeed with that warning.
func (w *world) warned(t *testing.T, want string, args ...string) {
	t.Helper()
	got := w.refused(t, append(args, "--warnings-as-errors")...)
	if !strings.Contains(got, want) || !strings.Contains(got, "1 warning received") {
		t.Errorf("%s\nwant the warning %s", got, want)
	}
}

// creating are the arguments of a kubectl that tries to make an object.
func (w *world) creating(t *testing.T, object any) []string {
	t.Helper()
	return []string{"create", "--dry-run=server", "--namespace=shop", "--filename", w.object(t, object)}
}

func (w *world) applyObject(t *testing.T, object any) {
	t.Helper()
	w.kubectl(t, "create", "--namespace=shop", "--filename", w.object(t, object))
}

// object writes an object into a file.
func (w *world) object(t *testing.T, object any) string {
	t.Helper()
	data, err := json.Marshal(object)
	if err != nil {
		t.Fatal(err)
	}
	return w.write(t, string(data))
}

// pvc is a claim; the class "-" means that it names none.
func pvc(name, class, volume string, annotations, labels map[string]string) corev1.PersistentVolumeClaim {
	claim := corev1.PersistentVolumeClaim{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "PersistentVolumeClaim"},
		ObjectMeta: metav1.ObjectMeta{Name: name, Annotations: annotations, Labels: labels},
		Spec: corev1.PersistentVolumeClaimSpec{
			AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
			Resources:   corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")}},
			VolumeName:  volume,
		},
	}
	if class != "-" {
		claim.Spec.StorageClassName = &class
	}
	return claim
}

func template(class string, annotations map[string]string) corev1.PersistentVolumeClaim {
	return pvc("data", class, "", annotations, nil)
}

func set(name string, templates ...corev1.PersistentVolumeClaim) appsv1.StatefulSet {
	labels, one, none := map[string]string{"app": name}, int32(1), int64(0)
	return appsv1.StatefulSet{
		TypeMeta:   metav1.TypeMeta{APIVersion: "apps/v1", Kind: "StatefulSet"},
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: appsv1.StatefulSetSpec{
			Replicas: &one, Selector: &metav1.LabelSelector{MatchLabels: labels}, VolumeClaimTemplates: templates,
			PodManagementPolicy: appsv1.ParallelPodManagement,
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels},
				Spec:       corev1.PodSpec{TerminationGracePeriodSeconds: &none, Containers: []corev1.Container{{Name: "c", Image: "i"}}},
			},
		},
	}
}
