package guard_test

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/google/go-cmp/cmp"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/guard"
)

// TestOpenShift: the record says how the pods are confined that have the image, and whoever
// starts others is told which annotations to copy. Nothing is refused for that.
func TestOpenShift(t *testing.T) {
	here := &ceph.SCC{UIDRange: "1000700000/10000", MCS: "s0:c27,c4", SupplementalGroups: "1000700000/10000"}
	there := &ceph.SCC{UIDRange: "1000650000/10000", MCS: "s0:c26,c5", SupplementalGroups: "1000700000/10000"}
	const other = "volume shop/data (image replicapool/shop.data): pods of namespace shop may not be able to read the files: those that had the image last had another uid range or MCS label of OpenShift; " +
		"before its pods start, run `kubectl annotate namespace shop --overwrite openshift.io/sa.scc.uid-range=1000650000/10000 openshift.io/sa.scc.mcs=s0:c26,c5`"
	openShift := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "shop", Annotations: map[string]string{
		"openshift.io/sa.scc.uid-range": here.UIDRange, "openshift.io/sa.scc.mcs": here.MCS, "openshift.io/sa.scc.supplemental-groups": here.SupplementalGroups,
	}}}
	for name, test := range map[string]struct {
		namespace *corev1.Namespace
		last      *ceph.SCC
		warnings  []string
		then      *ceph.SCC
	}{
		"for the first time":         {namespace: openShift, then: here},
		"the same as last":           {namespace: openShift, last: here, then: here},
		"others than last":           {namespace: openShift, last: there, warnings: []string{other}, then: here},
		"not OpenShift":              {namespace: &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "shop"}}, last: there, then: there},
		"a namespace that is unseen": {namespace: &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "bank"}}, last: there, then: there},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, []string{"shop.data"}, append(pair("data"), deployment("data"), test.namespace)...)
			w.write("shop.data", func(r *ceph.Record) { r.SCC, r.ClaimSize = test.last, 1 })
			check := func(want *ceph.SCC) {
				t.Helper()
				if diff := cmp.Diff(want, w.record("shop.data").SCC); diff != "" {
					t.Errorf("-want +got:\n%s", diff)
				}
			}
			same(t, allowed(guard.NoWatcher, test.warnings...), w.ask("scale", scaled(t, deploymentKind, "deployments", 0, 1)))
			check(test.last) // who only asks changes nothing
			same(t, allowed(guard.NoWatcher, test.warnings...), w.ask("pod", withUID(t, "p", "data")))
			check(test.then)
		})
	}
}
