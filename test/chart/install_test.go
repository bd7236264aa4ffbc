//go:build lab

package chart

import (
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"testing"

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
	for request, want := range map[string]string{
		"list nodes":              "yes",
		"watch persistentvolumes": "yes",
		"watch persistentvolumeclaims --all-namespaces":                          "yes",
		"list pods --all-namespaces":                                             "yes",
		"watch volumeattachments.storage.k8s.io":                                 "yes",
		"watch csidrivers.storage.k8s.io":                                        "yes",
		"get statefulsets.apps --namespace default":                              "yes",
		"patch namespaces/default":                                               "yes",
		"create events --namespace default":                                      "yes",
		"create events.events.k8s.io --namespace default":                        "yes",
		"get secrets/rook-csi-rbd-node --namespace rook-ceph":                    "yes",
		"get configmaps/ceph-csi-config --namespace rook-ceph":                   "yes",
		"get configmaps/rook-ceph-csi-config --namespace rook-ceph":              "yes",
		"watch secrets --namespace " + own:                                       "yes",
		"update secrets/cephferry-certificate --namespace " + own:                "yes",
		"create leases.coordination.k8s.io --namespace " + own:                   "yes",
		"update leases.coordination.k8s.io/cephferry-webhook --namespace " + own: "yes",
		"update leases.coordination.k8s.io/others --namespace " + own:            "no",
		"get pods --subresource=log --namespace default":                         "no",
		"update validatingwebhookconfigurations/cephferry":                       "yes",
		"watch validatingwebhookconfigurations":                                  "yes",
		"update validatingwebhookconfigurations/others":                          "no",
		"delete validatingwebhookconfigurations/cephferry":                       "no",
		"create validatingwebhookconfigurations":                                 "no",
		"list migratablevolumes --all-namespaces":                                "yes",
		"create migratablevolumes --namespace default":                           "yes",
		"patch migratablevolumes --subresource=status --namespace default":       "yes",
		"patch ferryclusters --subresource=status":                               "yes",
		"watch takeovers":                                       "yes",
		"patch takeovers --subresource=status":                  "yes",
		"create takeovers":                                      "no",
		"patch takeovers":                                       "no",
		"delete takeovers":                                      "no",
		"update namespaces/default":                             "no",
		"delete namespaces/default":                             "no",
		"create pods --namespace default":                       "no",
		"get pods --all-namespaces":                             "yes",
		"create pods --subresource=binding --namespace default": "no",
		"patch replicasets.apps --subresource=status --namespace default":       "yes",
		"patch statefulsets.apps --subresource=status --namespace default":      "yes",
		"patch jobs.batch --subresource=status --namespace default":             "yes",
		"patch pods --subresource=status --namespace default":                   "yes",
		"update pods --subresource=status --namespace default":                  "no",
		"patch pods --namespace default":                                        "no",
		"patch persistentvolumeclaims --subresource=status --namespace default": "yes",
		"patch replicasets.apps --namespace default":                            "no",
		"patch statefulsets.apps --namespace default":                           "no",
		"patch jobs.batch --namespace default":                                  "no",
		"delete pods/p --namespace default":                                     "yes",
		"deletecollection pods --namespace default":                             "no",
		"create pods --subresource=eviction --namespace default":                "no",
		"patch persistentvolumeclaims/p --namespace default":                    "no",
		"patch nodes/n": "no",
		"patch deployments.apps/d --namespace default":              "no",
		"get secrets/others --namespace rook-ceph":                  "no",
		"list secrets --namespace rook-ceph":                        "no",
		"list configmaps --namespace rook-ceph":                     "no",
		"update secrets/rook-csi-rbd-node --namespace rook-ceph":    "no",
		"get secrets/rook-csi-rbd-node --namespace default":         "no",
		"list secrets --all-namespaces":                             "no",
		"get secrets/others --namespace " + own:                     "no",
		"update secrets/others --namespace " + own:                  "no",
		"create leases.coordination.k8s.io --namespace kube-system": "no",
		"create pods/exec --namespace " + own:                       "no",
		"create serviceaccounts/token --namespace " + own:           "no",
		"impersonate users":                                         "no",
		"escalate clusterroles.rbac.authorization.k8s.io":           "no",
	} {
		args := append([]string{"auth", "can-i", "--quiet=false", "--as", account}, strings.Fields(request)...)
		out, err := w.Run(t.Context(), args...)
		// The answer no is exit code 1.
		got := "yes"
		if err != nil {
			got = "no"
			if !strings.Contains(err.Error(), "exit status 1") {
				t.Fatal(err)
			}
		} else if strings.TrimSpace(string(out)) != "yes" {
			t.Fatalf("%s: %s", request, out)
		}
		if got != want {
			t.Errorf("may the webhook %s: %s, want %s", request, got, want)
		}
	}
}
