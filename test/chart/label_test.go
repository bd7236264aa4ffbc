//go:build lab

package chart

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/cephferry/cephferry/test/scene"
)

const guardedLabel = "cephferry.io/guarded"

// keptText is what whoever takes the label from namespace shop is told.
const keptText = `namespaces "shop" is forbidden: ValidatingAdmissionPolicy 'cephferry-label' with binding 'cephferry-label' denied request: ` +
	`the label cephferry.io/guarded must stay "true": it keeps the pods of namespace shop from starting on a volume that another cluster owns. ` +
	`The webhook removes it when no guarded volume has a claim there any more. ` +
	`A tool that manages the namespace must leave this label alone: docs/gitops.md of cephferry shows how.`

// TestLabel: while no webhook answers, the label stays whatever way it is taken, and
// everything else about namespaces goes on.
func TestLabel(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.install(t, nobody(t), startRecorder(t).ca(), "dead")
	w.namespace(t, "rook-ceph", true)
	w.namespace(t, own, true)
	w.namespace(t, "shop", true)
	w.namespace(t, "plain", false)
	w.labelPolicy(t)

	t.Run("the expressions fit the types", func(t *testing.T) {
		scene.Eventually(t, "the controller's opinion", func() error {
			if seen := w.kubectl(t, "get", "validatingadmissionpolicy/cephferry-label", "--output=jsonpath={.status.observedGeneration}"); seen != "1" {
				return fmt.Errorf("generation %q", seen)
			}
			return nil
		})
		if said := w.kubectl(t, "get", "validatingadmissionpolicy/cephferry-label", "--output=jsonpath={.status.typeChecking.expressionWarnings}"); said != "" {
			t.Error(said)
		}
	})

	t.Run("nobody takes it away", func(t *testing.T) {
		remove := `[{"op":"remove","path":"/metadata/labels/cephferry.io~1guarded"}]`
		without := w.shopWith(t, func(n *corev1.Namespace) { delete(n.Labels, guardedLabel) })
		anyVersion := w.shopWith(t, func(n *corev1.Namespace) { n.Labels, n.ResourceVersion = nil, "" })
		changed := w.shopWith(t, func(n *corev1.Namespace) { n.Labels[guardedLabel] = "True" })
		for name, args := range map[string][]string{
			"kubectl label":                    {"label", "namespace/shop", guardedLabel + "-"},
			"a value that guards nothing":      {"label", "--overwrite", "namespace/shop", guardedLabel + "=false"},
			"no value":                         {"label", "--overwrite", "namespace/shop", guardedLabel + "="},
			"a JSON patch":                     {"patch", "namespace/shop", "--type=json", "--patch=" + remove},
			"a merge patch of all labels":      {"patch", "namespace/shop", "--type=merge", `--patch={"metadata":{"labels":null}}`},
			"replace":                          {"replace", "--filename", without},
			"replace, of whatever is there":    {"replace", "--filename", anyVersion},
			"replace with another value":       {"replace", "--filename", changed},
			"through the status":               {"patch", "namespace/shop", "--subresource=status", "--type=json", "--patch=" + remove},
			"through the status, replaced":     {"replace", "--raw=/api/v1/namespaces/shop/status", "--filename", without},
			"through the finalizers":           {"replace", "--raw=/api/v1/namespaces/shop/finalize", "--filename", without},
			"server-side apply, without it":    w.applying(t, "", shopApplied("{}")),
			"server-side apply by another one": w.applying(t, "", shopApplied(`{cephferry.io/guarded: "false"}`), "--field-manager=gitops", "--force-conflicts"),
			"in a dry run":                     {"label", "--dry-run=server", "namespace/shop", guardedLabel + "-"},
			"cluster administrators":           {"label", "--as=root", "--as-group=system:masters", "namespace/shop", guardedLabel + "-"},
			"somebody else's account":          {"label", "--as=system:serviceaccount:gitops:cephferry", "--as-group=system:masters", "namespace/shop", guardedLabel + "-"},
			"the API server's own controllers": {"label", "--as=system:serviceaccount:kube-system:namespace-controller", "--as-group=system:masters", "namespace/shop", guardedLabel + "-"},
		} {
			t.Run(name, func(t *testing.T) {
				if got := w.refused(t, args...); !strings.Contains(got, keptText) {
					t.Errorf("%s\nwant in it: %s", got, keptText)
				}
				if got := w.guarded(t, "shop"); got != "true" {
					t.Errorf("the label is %q", got)
				}
			})
		}
	})

	t.Run("everything else goes on", func(t *testing.T) {
		for _, args := range [][]string{
			{"label", "namespace/shop", "team=db"},
			{"label", "namespace/shop", "team-"},
			{"annotate", "namespace/shop", "a=b"},
			{"label", "--overwrite", "namespace/shop", guardedLabel + "=true"},
			w.applying(t, "", shopApplied("{team: db}"), "--field-manager=gitops"),
			w.applying(t, "", shopApplied("{}"), "--field-manager=gitops"),
			{"replace", "--filename", w.shopWith(t, func(n *corev1.Namespace) { n.Labels["team"], n.ResourceVersion = "db", "" })},
			{"replace", "--raw=/api/v1/namespaces/shop/finalize", "--filename", w.shopWith(t, func(n *corev1.Namespace) { n.ResourceVersion = "" })},
			{"patch", "namespace/shop", "--subresource=status", `--patch={"status":{"conditions":[{"type":"A","status":"True"}]}}`},
			// Others, and labels that guard nothing.
			{"label", "namespace/plain", "team=db"},
			{"label", "namespace/plain", guardedLabel + "=false"},
			{"label", "namespace/plain", guardedLabel + "-"},
			{"label", "namespace/plain", guardedLabel + "=true"},
			// Namespaces that the chart excludes have no guard.
			{"label", "namespace/rook-ceph", guardedLabel + "-"},
			{"label", "namespace/" + own, guardedLabel + "-"},
			// With the label, and again without it.
			{"delete", "namespace/plain", "--timeout=60s"},
			{"create", "namespace", "plain"},
		} {
			t.Run(strings.Join(args, " "), func(t *testing.T) { w.kubectl(t, args...) })
		}
		if got := w.guarded(t, "shop"); got != "true" {
			t.Errorf("the label is %q", got)
		}
	})

	t.Run("volumes that are probably a mistake", func(t *testing.T) { testDoubts(t, w) })

	t.Run("the webhook takes it away", func(t *testing.T) {
		rights := w.helm(t, 3, "template", "cephferry", chartDir, "--set", "cluster.name=west", "--show-only", "templates/rbac.yaml")
		if err := w.Apply(t.Context(), rights); err != nil {
			t.Fatal(err)
		}
		w.kubectl(t, "patch", "namespace/shop", "--type=merge", `--patch={"metadata":{"labels":{"cephferry.io/guarded":null}}}`, "--as="+account)
		if got := w.guarded(t, "shop"); got != "" {
			t.Errorf("the label is %q", got)
		}
	})
}

// labelPolicy installs the policy, and returns when the API server uses it.
func (w *world) labelPolicy(t *testing.T) {
	t.Helper()
	w.apply(t, "", w.helm(t, 3, "template", "cephferry", chartDir, "--set", "cluster.name=west", "--show-only", "templates/label.yaml"))
	w.labelIsKept(t, "shop")
}

// labelIsKept waits until the API server uses the policy.
func (w *world) labelIsKept(t *testing.T, namespace string) {
	t.Helper()
	scene.Eventually(t, "the policy", func() error {
		err := w.unlabels(t, namespace)
		if err == nil || !strings.Contains(err.Error(), "cephferry-label") {
			return errors.Join(errors.New("it is not in use"), err)
		}
		return nil
	})
}

// labelMayGo waits until the API server has forgotten the policy.
func (w *world) labelMayGo(t *testing.T, namespace string) {
	t.Helper()
	scene.Eventually(t, "the end of the policy", func() error { return w.unlabels(t, namespace) })
}

// unlabels asks whether the label may go.
func (w *world) unlabels(t *testing.T, namespace string) error {
	return w.dryPatch(t, "namespaces", "", namespace, `{"metadata":{"labels":{"`+guardedLabel+`":null}}}`)
}

// guarded is the value of a namespace's label.
func (w *world) guarded(t *testing.T, namespace string) string {
	t.Helper()
	got, err := w.Client.CoreV1().Namespaces().Get(t.Context(), namespace, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return got.Labels[guardedLabel]
}

// shopWith is a file with namespace shop as it is, but for a change.
func (w *world) shopWith(t *testing.T, change func(*corev1.Namespace)) string {
	t.Helper()
	var namespace corev1.Namespace
	if err := json.Unmarshal([]byte(w.kubectl(t, "get", "namespace/shop", "--output=json")), &namespace); err != nil {
		t.Fatal(err)
	}
	change(&namespace)
	namespace.TypeMeta = metav1.TypeMeta{APIVersion: "v1", Kind: "Namespace"}
	data, err := json.Marshal(namespace)
	if err != nil {
		t.Fatal(err)
	}
	return w.write(t, string(data))
}

func shopApplied(labels string) string {
	return "{apiVersion: v1, kind: Namespace, metadata: {name: shop, labels: " + labels + "}}"
}
