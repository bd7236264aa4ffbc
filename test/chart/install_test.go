//go:build lab

package chart

import (
	"encoding/base64"
	"flag"
	"fmt"
	"slices"
	"strings"
	"testing"

	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/cephferry/cephferry/test/scene"
)

const account = "system:serviceaccount:" + own + ":cephferry"

// crds stay when the chart is uninstalled, and are there for the next installation.
var crds = []string{
	"customresourcedefinition.apiextensions.k8s.io/ferryclusters.cephferry.io",
	"customresourcedefinition.apiextensions.k8s.io/migratablevolumes.cephferry.io",
	"customresourcedefinition.apiextensions.k8s.io/takeovers.cephferry.io",
}

// TestInstall: the chart's whole life, with both Helms.
func TestInstall(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ca := base64.StdEncoding.EncodeToString(startRecorder(t).ca())
	w.namespace(t, "rook-ceph", false)
	// The strictest pod security there is. The label is there by mistake, and must
	// do no harm.
	w.apply(t, "", "{apiVersion: v1, kind: Namespace, metadata: {name: "+own+", labels: "+
		`{pod-security.kubernetes.io/enforce: restricted, cephferry.io/guarded: "true"}}}`)
	chartOf := func(command string, flags ...string) []string {
		return append([]string{command, "cephferry", chartDir}, flags...)
	}
	for _, helm := range []int{3, 4} {
		t.Run(fmt.Sprint("with Helm ", helm), func(t *testing.T) {
			_, stderr, err := w.runHelm(t, helm, chartOf("install")...)
			if want := "cluster.name is required"; err == nil || !strings.Contains(stderr, want) {
				t.Errorf("install without values: %v %s, want %s", err, stderr, want)
			}

			said := w.helm(t, helm, chartOf("install", "--set", "cluster.name=west")...)
			if want := "kubectl -n cephferry-system rollout status deployment/cephferry"; !strings.Contains(said, want) {
				t.Errorf("the notes lack %q:\n%s", want, said)
			}
			w.waitPods(t, own, 2)
			testPermissions(t, w)

			// What the webhook does when it starts.
			as := []string{"--as", account}
			secret := w.kubectl(t, "get", "secret/cephferry-certificate", "--namespace", own, "--output=json")
			w.kubectl(t, append([]string{"replace", "--filename", w.write(t, strings.Replace(secret, `"kind": "Secret"`, `"kind": "Secret", "data": {"ca.crt": "`+ca+`"}`, 1))}, as...)...)
			configuration := w.kubectl(t, "get", "validatingwebhookconfiguration/cephferry", "--output=json")
			w.kubectl(t, append([]string{"replace", "--filename", w.write(t, strings.ReplaceAll(configuration, `"clientConfig": {`, `"clientConfig": {"caBundle": "`+ca+`",`))}, as...)...)

			// The guard is on now, and nobody answers.
			w.kubectl(t, "delete", "pods", "--all", "--namespace", own)
			w.waitPods(t, own, 2)

			w.helm(t, helm, chartOf("upgrade", "--set", "cluster.name=west,replicas=3,guard.scope=all")...)
			w.waitPods(t, own, 3+1) // without a kubelet the new one never serves, so none goes
			if got := w.kubectl(t, "get", "secret/cephferry-certificate", "--namespace", own, `--output=jsonpath={.data.ca\.crt}`); got != ca {
				t.Errorf("after an upgrade the certificate is %q, want %q", got, ca)
			}
			if got, want := w.kubectl(t, "get", "validatingwebhookconfiguration/cephferry", "--output=jsonpath={.webhooks[*].clientConfig.caBundle}"),
				strings.Join(slices.Repeat([]string{ca}, 5), " "); got != want {
				t.Errorf("after an upgrade the CA is %q, want %q", got, want)
			}
			if got := w.kubectl(t, "get", "validatingwebhookconfiguration/cephferry", "--output=json"); strings.Contains(got, "staticVolume") {
				t.Error("after an upgrade the scope is still migratable")
			}

			w.helm(t, helm, chartOf("upgrade", "--reuse-values", "--set", "guard.scale.enabled=false")...)
			if got, want := w.kubectl(t, "get", "validatingwebhookconfiguration/cephferry", "--output=jsonpath={.webhooks[*].name}"),
				"pod.guard.cephferry.io binding.guard.cephferry.io volume.guard.cephferry.io growth.cephferry.io"; got != want {
				t.Errorf("with guard.scale.enabled=false there are %q, want %q", got, want)
			}

			w.namespace(t, "shop", true)
			w.labelIsKept(t, "shop")
			w.helm(t, helm, chartOf("upgrade", "--reuse-values", "--set", "guard.keepLabel=false")...)
			w.labelMayGo(t, "shop")
			w.helm(t, helm, chartOf("upgrade", "--reuse-values", "--set", "guard.keepLabel=true")...)
			w.labelIsKept(t, "shop")
			w.helm(t, helm, chartOf("upgrade", "--reuse-values", "--set", "guard.enabled=false")...)
			w.labelMayGo(t, "shop")
			if got := w.kubectl(t, "get", "validatingwebhookconfigurations", "--output=name"); got != "" {
				t.Errorf("with guard.enabled=false there is still %s", got)
			}
			w.helm(t, helm, chartOf("upgrade", "--reuse-values", "--set", "guard.enabled=true,crds.enabled=false")...)
			if got := strings.Fields(w.kubectl(t, "get", "customresourcedefinitions", "--selector=app.kubernetes.io/name=cephferry", "--output=name")); !slices.Equal(got, crds) {
				t.Errorf("with crds.enabled=false there are %q, want still %q", got, crds)
			}
			w.helm(t, helm, chartOf("upgrade", "--reuse-values", "--set", "crds.enabled=true")...)
			w.helm(t, helm, "rollback", "cephferry", "1")
			w.labelIsKept(t, "shop")

			w.helm(t, helm, "uninstall", "cephferry")
			kinds := strings.Join(strings.Fields(w.kubectl(t, "api-resources", "--verbs=list", "--output=name")), ",")
			scene.Eventually(t, "everything but the CRDs to be gone", func() error {
				left := w.kubectl(t, "get", kinds, "--all-namespaces", "--selector=app.kubernetes.io/name=cephferry", "--output=name")
				if left != strings.Join(crds, "\n") {
					return fmt.Errorf("there is still %s", left)
				}
				return nil
			})
			if left := w.kubectl(t, "get", "secrets,configmaps", "--namespace", own, "--output=name"); left != "configmap/kube-root-ca.crt" {
				t.Errorf("in the namespace there is still %s", left)
			}
			w.labelMayGo(t, "shop")
		})
	}
}

// testPermissions: the webhook may do this, and not what is beside it.
func testPermissions(t *testing.T, w *world) {
	t.Helper()
	for request, want := range map[string]bool{
		"list nodes":                                                                    true,
		"watch persistentvolumes":                                                       true,
		"watch persistentvolumeclaims":                                                  true,
		"list pods":                                                                     true,
		"watch volumeattachments.storage.k8s.io":                                        true,
		"watch csidrivers.storage.k8s.io":                                               true,
		"get statefulsets.apps --namespace default":                                     true,
		"patch namespaces/default":                                                      true,
		"create events --namespace default":                                             true,
		"create events.events.k8s.io --namespace default":                               true,
		"get secrets/rook-csi-rbd-node --namespace rook-ceph":                           true,
		"get configmaps/ceph-csi-config --namespace rook-ceph":                          true,
		"get configmaps/rook-ceph-csi-config --namespace rook-ceph":                     true,
		"watch secrets --namespace " + own:                                              true,
		"update secrets/cephferry-certificate --namespace " + own:                       true,
		"create leases.coordination.k8s.io --namespace " + own:                          true,
		"update leases.coordination.k8s.io/cephferry-webhook --namespace " + own:        true,
		"update leases.coordination.k8s.io/others --namespace " + own:                   false,
		"get pods --subresource=log --namespace default":                                false,
		"update validatingwebhookconfigurations.admissionregistration.k8s.io/cephferry": true,
		"watch validatingwebhookconfigurations.admissionregistration.k8s.io":            true,
		"update validatingwebhookconfigurations.admissionregistration.k8s.io/others":    false,
		"delete validatingwebhookconfigurations.admissionregistration.k8s.io/cephferry": false,
		"create validatingwebhookconfigurations.admissionregistration.k8s.io":           false,
		"list migratablevolumes.cephferry.io":                                           true,
		"create migratablevolumes.cephferry.io --namespace default":                     true,
		"patch migratablevolumes.cephferry.io --subresource=status --namespace default": true,
		"patch ferryclusters.cephferry.io --subresource=status":                         true,
		"watch takeovers.cephferry.io":                                                  true,
		"patch takeovers.cephferry.io --subresource=status":                             true,
		"create takeovers.cephferry.io":                                                 false,
		"patch takeovers.cephferry.io":                                                  false,
		"delete takeovers.cephferry.io":                                                 false,
		"update namespaces/default":                                                     false,
		"delete namespaces/default":                                                     false,
		"create pods --namespace default":                                               false,
		"get pods":                                                                      true,
		"create pods --subresource=binding --namespace default":                         false,
		"patch replicasets.apps --subresource=status --namespace default":               true,
		"patch statefulsets.apps --subresource=status --namespace default":              true,
		"patch jobs.batch --subresource=status --namespace default":                     true,
		"patch pods --subresource=status --namespace default":                           true,
		"update pods --subresource=status --namespace default":                          false,
		"patch pods --namespace default":                                                false,
		"patch persistentvolumeclaims --subresource=status --namespace default":         true,
		"patch replicasets.apps --namespace default":                                    false,
		"patch statefulsets.apps --namespace default":                                   false,
		"patch jobs.batch --namespace default":                                          false,
		"delete pods/p --namespace default":                                             true,
		"deletecollection pods --namespace default":                                     false,
		"create pods --subresource=eviction --namespace default":                        false,
		"patch persistentvolumeclaims/p --namespace default":                            false,
		"patch nodes/n": false,
		"patch deployments.apps/d --namespace default":           false,
		"get secrets/others --namespace rook-ceph":               false,
		"list secrets --namespace rook-ceph":                     false,
		"list configmaps --namespace rook-ceph":                  false,
		"update secrets/rook-csi-rbd-node --namespace rook-ceph": false,
		"get secrets/rook-csi-rbd-node --namespace default":      false,
		"list secrets":                                                  false,
		"get secrets/others --namespace " + own:                         false,
		"update secrets/others --namespace " + own:                      false,
		"create leases.coordination.k8s.io --namespace kube-system":     false,
		"create pods --subresource=exec --namespace " + own:             false,
		"create serviceaccounts --subresource=token --namespace " + own: false,
		"impersonate users":                                             false,
		"escalate clusterroles.rbac.authorization.k8s.io":               false,
	} {
		if got := w.may(t, request); got != want {
			t.Errorf("may the webhook %s: %t, want %t", request, got, want)
		}
	}
}

// may says whether the webhook's account may do what is written as for `kubectl auth can-i`, with
// the group of each resource that is not in the core group.
func (w *world) may(t *testing.T, request string) bool {
	t.Helper()
	fields := strings.Fields(request)
	what, name, _ := strings.Cut(fields[1], "/")
	resource, group, _ := strings.Cut(what, ".")
	flags := flag.NewFlagSet(request, flag.ContinueOnError)
	namespace, subresource := flags.String("namespace", "", ""), flags.String("subresource", "", "")
	if err := flags.Parse(fields[2:]); err != nil {
		t.Fatal(err)
	}
	review, err := w.Client.AuthorizationV1().SubjectAccessReviews().Create(t.Context(), &authorizationv1.SubjectAccessReview{
		Spec: authorizationv1.SubjectAccessReviewSpec{
			User: account, Groups: []string{"system:serviceaccounts", "system:serviceaccounts:" + own, "system:authenticated"},
			ResourceAttributes: &authorizationv1.ResourceAttributes{
				Verb: fields[0], Group: group, Resource: resource, Subresource: *subresource, Namespace: *namespace, Name: name,
			},
		},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return review.Status.Allowed
}
