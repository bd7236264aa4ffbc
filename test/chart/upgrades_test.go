//go:build lab

package chart

import (
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/cephferry/cephferry/pkg/annotations"
	"github.com/cephferry/cephferry/test/scene"
)

const (
	byUpgrade = ". If this is from a chart, helm was called without the post-renderer: pass --post-renderer postrender (Helm 4: --post-renderer cephferry) " +
		`at every install and upgrade. Otherwise write storageClassName: "" again, and the volumeName as it is.`
	immutable      = "spec is immutable after creation"
	fixedTemplates = "updates to statefulset spec for fields other than"
)

// testUnrenderedUpgrade: a person who forgot the renderer once reads it from helm, where the
// API server would only say which fields never change.
func testUnrenderedUpgrade(t *testing.T, w *world) {
	ours := map[string]string{annotations.Migratable: "true"}
	for name, c := range map[string]struct{ rendered, unrendered, want any }{
		"a pair of the renderer": {
			pvc("data", "", "own.data", ours, nil), pvc("data", "ceph-block", "", ours, nil),
			`claim data has the class "" and the volume own.data, and this change takes them away` + byUpgrade,
		},
		"a claim whose annotation the renderer wrote": {
			pvc("data", "", "own.data", ours, nil), pvc("data", "-", "", nil, nil),
			`claim data has the class "" and the volume own.data, and this change takes them away` + byUpgrade,
		},
		"a claim whose volume the cluster makes": {
			pvc("data", "", "", ours, nil), pvc("data", "ceph-block", "", ours, nil),
			`claim data has the class "", and this change takes it away` + byUpgrade,
		},
		"a StatefulSet": {
			set("db", template("", ours)), set("db", template("ceph-block", ours)),
			`a claim template of StatefulSet db has the class "", and this change takes it away` + byUpgrade,
		},
	} {
		t.Run(name, func(t *testing.T) {
			before, after := w.chartOf(t, c.rendered), w.chartOf(t, c.unrendered)
			for _, helm := range []int{3, 4} {
				w.helm(t, helm, "install", "app", before)
				_, stderr, err := w.runHelm(t, helm, "upgrade", "app", after)
				if err == nil || !strings.Contains(stderr, c.want.(string)) || strings.Contains(stderr, immutable) || strings.Contains(stderr, fixedTemplates) {
					t.Errorf("Helm %d: %v\n%s\nwant in it: %s", helm, err, stderr, c.want)
				}
				w.helm(t, helm, "uninstall", "app")
			}
		})
	}
}

// testUpgradeNearMisses: nothing is refused that would pass without the policy, and what is not
// about the renderer gets the API server's own words.
func testUpgradeNearMisses(t *testing.T, w *world) {
	ours := map[string]string{annotations.Migratable: "true"}
	w.applyObject(t, pvc("pair", "", "shop.pair", ours, nil))
	w.applyObject(t, pvc("waits", "", "", ours, nil))
	w.applyObject(t, pvc("off", "", "shop.off", map[string]string{annotations.Migratable: "false"}, nil))
	logs := template("", ours)
	logs.Name = "logs"
	w.applyObject(t, set("near", template("", ours), logs))
	for _, c := range []struct{ does, want string }{
		{"label pvc/pair a=b", ""},
		{"annotate pvc/pair a=b", ""},
		{`patch pvc/pair --patch={"metadata":{"finalizers":["example.com/f"]}}`, ""},
		{`patch pvc/pair --type=merge --patch={"metadata":{"finalizers":null}}`, ""},
		{`patch pvc/pair --subresource=status --patch={"status":{"phase":"Lost"}}`, ""},
		{`patch pvc/pair --patch={"spec":{"storageClassName":"ceph-block"}}`, byUpgrade},
		{`patch pvc/pair --type=merge --patch={"spec":{"storageClassName":null}}`, byUpgrade},
		{`patch pvc/pair --type=merge --patch={"spec":{"volumeName":null}}`, byUpgrade},
		{`patch pvc/pair --patch={"spec":{"resources":{"requests":{"storage":"2Gi"}}}}`, immutable},
		{`patch pvc/waits --patch={"spec":{"storageClassName":"ceph-block"}}`, byUpgrade},
		{`patch pvc/waits --patch={"spec":{"volumeName":"shop.waits"}}`, ""}, // the binder's
		{`patch pvc/off --patch={"spec":{"storageClassName":"ceph-block"}}`, immutable},
		{`patch pvc/dynamic --patch={"spec":{"storageClassName":"other"}}`, immutable},
		{"annotate pvc/pair cephferry.io/migratable-", ""},
		{`patch pvc/pair --patch={"spec":{"storageClassName":"ceph-block"}}`, immutable},
		{"scale statefulset/near --replicas=2", ""},
		{"rollout restart statefulset/near", ""},
		{`patch statefulset/near --type=json --patch=[{"op":"replace","path":"/spec/volumeClaimTemplates/1/spec/storageClassName","value":"ceph-block"}]`, byUpgrade},
		{`patch statefulset/near --type=json --patch=[{"op":"replace","path":"/spec/volumeClaimTemplates/1/metadata/name","value":"other"}]`, fixedTemplates},
		{`patch statefulset/near --type=json --patch=[{"op":"remove","path":"/spec/volumeClaimTemplates/1"}]`, fixedTemplates},
		{`patch statefulset/before --type=json --patch=[{"op":"replace","path":"/spec/volumeClaimTemplates/0/spec/storageClassName","value":""}]`, fixedTemplates},
	} {
		t.Run(c.does, func(t *testing.T) {
			w.judged(t, c.want, append(strings.Fields(c.does), "--namespace=shop")...)
		})
	}
}

// testComparedFirst is why a MutatingAdmissionPolicy explains upgrades: the API server compares
// what is immutable before it asks one that validates.
func testComparedFirst(t *testing.T, w *world) {
	w.apply(t, "", `
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: asked-too-late}
spec:
  matchConstraints: {resourceRules: [{apiGroups: [""], apiVersions: [v1], resources: [persistentvolumeclaims], operations: [UPDATE]}]}
  matchConditions: [{name: this, expression: "object.metadata.name == 'off'"}]
  validations: [{expression: "false", message: it was asked}]
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {name: asked-too-late}
spec: {policyName: asked-too-late, validationActions: [Deny]}
`)
	scene.Eventually(t, "the policy", func() error {
		if err := w.dryPatch(t, "persistentvolumeclaims", "shop", "off", `{"metadata":{"labels":{"a":"b"}}}`); err == nil || !strings.Contains(err.Error(), "it was asked") {
			return fmt.Errorf("it is not in use: %v", err)
		}
		return nil
	})
	if got := w.refused(t, "patch", "pvc/off", "--namespace=shop", `--patch={"spec":{"storageClassName":"ceph-block"}}`); !strings.Contains(got, immutable) || strings.Contains(got, "it was asked") {
		t.Errorf("refused with %s", got)
	}
	w.kubectl(t, "delete", "validatingadmissionpolicybinding/asked-too-late", "validatingadmissionpolicy/asked-too-late")
}

// testTemplateSize is what docs/annotations.md says of the size in a claim template.
func testTemplateSize(t *testing.T, w *world) {
	ours := map[string]string{annotations.Migratable: "true", annotations.Class: "ceph-block"}
	small, large := template("", ours), template("", ours)
	large.Spec.Resources.Requests = corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("2Gi")}
	w.applyObject(t, set("sized", small))
	w.kubectl(t, "wait", "--for=create", "--timeout=60s", "--namespace=shop", "pvc/data-sized-0", "pod/sized-0")
	pod := w.kubectl(t, "get", "--namespace=shop", "pod/sized-0", "--output=jsonpath={.metadata.uid}")

	larger := w.object(t, set("sized", large))
	if got := w.refused(t, "apply", "--server-side", "--force-conflicts", "--namespace=shop", "--filename", larger); !strings.Contains(got, fixedTemplates) {
		t.Errorf("refused with %s\nwant in it: %s", got, fixedTemplates)
	}
	w.kubectl(t, "delete", "--namespace=shop", "statefulset/sized", "--cascade=orphan")
	w.kubectl(t, "create", "--namespace=shop", "--filename", larger)
	w.kubectl(t, "scale", "--namespace=shop", "statefulset/sized", "--replicas=2")
	sizes := func() string {
		return w.kubectl(t, "get", "--namespace=shop", "pvc", "--output=jsonpath={.items[?(@.metadata.labels.app=='sized')].spec.resources.requests.storage}")
	}
	scene.Eventually(t, "the claim of the second ordinal", func() error {
		if got := sizes(); got != "1Gi 2Gi" {
			return fmt.Errorf("the claims have %s", got)
		}
		return nil
	})
	if got := w.kubectl(t, "get", "--namespace=shop", "pod/sized-0", "--output=jsonpath={.metadata.uid}"); got != pod {
		t.Errorf("pod sized-0 is %s, want still %s", got, pod)
	}
}
