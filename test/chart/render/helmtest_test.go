package render

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
)

// TestHelmTest: `helm test` asks in a guarded namespace of its own, may do nothing else, and leaves nothing. That the
// program of its pod says no when the webhook does not refuse is tested in test/guard.
func TestHelmTest(t *testing.T) {
	for release, name := range map[string]string{"cephferry": "cephferry-test", "guard": "guard-cephferry-test"} {
		r, err := renderAs(release, values(t, "image: {repository: registry.example/cephferry, tag: '1', pullSecrets: [{name: a}]}\ntolerations: [{operator: Exists}]\nnodeSelector: {a: b}"))
		if err != nil {
			t.Fatal(err)
		}
		installed := r.deployment()
		tests := &rendered{objects: r.hooks}
		space := the[*corev1.Namespace](tests).Name
		var order []string
		for _, hook := range r.hooks {
			a := hook.GetAnnotations()
			order = append(order, fmt.Sprintf("%T %s/%s %s", hook, hook.GetNamespace(), hook.GetName(), a["helm.sh/hook-weight"]))
			equal(t, hook.GetName()+": hook", "test", a["helm.sh/hook"])
			equal(t, hook.GetName()+": when it goes", "before-hook-creation,hook-succeeded", a["helm.sh/hook-delete-policy"])
		}
		slices.Sort(order)
		equal(t, release+": objects", []string{
			"*v1.Namespace /" + space + " -2",
			"*v1.Pod " + namespace + "/" + name + " ",
			"*v1.Role " + space + "/" + name + " -1",
			"*v1.RoleBinding " + space + "/" + name + " -1",
			"*v1.ServiceAccount " + namespace + "/" + name + " -1",
		}, order)

		if !regexp.MustCompile("^" + name + "-[0-9a-f]{10}$").MatchString(space) {
			t.Errorf("helm test deletes namespace %s, which somebody else may have made", space)
		}
		asked := the[*corev1.Namespace](tests)
		equal(t, "the namespace is guarded", "true", asked.Labels["cephferry.io/guarded"])
		if slices.Contains(r.unguarded("pod.guard.cephferry.io"), asked.Name) {
			t.Errorf("namespace %s is excluded", asked.Name)
		}
		equal(t, "rights", []rbacv1.PolicyRule{{APIGroups: []string{""}, Resources: []string{"pods"}, Verbs: []string{"create"}}}, the[*rbacv1.Role](tests).Rules)
		equal(t, "who has them", []rbacv1.Subject{{Kind: "ServiceAccount", Name: name, Namespace: namespace}}, the[*rbacv1.RoleBinding](tests).Subjects)

		pod := the[*corev1.Pod](tests)
		equal(t, "account", name, pod.Spec.ServiceAccountName)
		selected := true
		for key, value := range installed.Selector.MatchLabels {
			selected = selected && pod.Labels[key] == value
		}
		if selected {
			t.Errorf("the Service would send requests to the test, which has the labels %v", pod.Labels)
		}
		one := pod.Spec.Containers[0]
		equal(t, "command", "kubectl-cephferry check --namespace="+space+" --timeout=2m", strings.Join(slices.Concat(one.Command, one.Args), " "))
		equal(t, "image", r.container().Image, one.Image)
		equal(t, "pull secrets", r.pod().ImagePullSecrets, pod.Spec.ImagePullSecrets)
		equal(t, "security of the pod", r.pod().SecurityContext, pod.Spec.SecurityContext)
		equal(t, "security of the container", r.container().SecurityContext, one.SecurityContext)
		equal(t, "nodes", r.pod().NodeSelector, pod.Spec.NodeSelector)
		equal(t, "tolerations", r.pod().Tolerations, pod.Spec.Tolerations)
		equal(t, "one run", corev1.RestartPolicyNever, pod.Spec.RestartPolicy)
	}
	equal(t, "without a guard there is nothing to test", 0, len(mustRender(t, "guard: {enabled: false}").hooks))
}
