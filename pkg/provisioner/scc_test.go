package provisioner

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/ceph/cephtest"
	"github.com/cephferry/cephferry/pkg/ownership"
)

// TestOpenShift: a claim whose image was used in a namespace that OpenShift confines otherwise
// is bound, and told what to copy.
func TestOpenShift(t *testing.T) {
	for name, test := range map[string]struct {
		last *ceph.SCC
		want []string
	}{
		"the same":  {last: &ceph.SCC{MCS: "s0:c27,c4"}},
		"not known": {},
		"others": {&ceph.SCC{MCS: "s0:c26,c5", UIDRange: "1000650000/10000"}, []string{
			"Warning OtherUIDRange: pods of namespace shop may not be able to read the files: those that had the image last had another uid range or MCS label of OpenShift; " +
				"before its pods start, run `kubectl annotate namespace shop --overwrite openshift.io/sa.scc.uid-range=1000650000/10000 openshift.io/sa.scc.mcs=s0:c26,c5`"}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, []cephtest.Image{{Name: "shop.data", Layout: ceph.Layout{Size: mib}}}, pvc("adopt=true"))
			var shop corev1.Namespace
			if err := w.objects.Get(t.Context(), client.ObjectKey{Name: "shop"}, &shop); err != nil {
				t.Fatal(err)
			}
			shop.Annotations = map[string]string{"openshift.io/sa.scc.mcs": "s0:c27,c4"}
			if err := w.objects.Update(t.Context(), &shop); err != nil {
				t.Fatal(err)
			}
			admin, err := w.ceph.Dial(t.Context(), cephtest.Provisioner)
			if err != nil {
				t.Fatal(err)
			}
			image, err := admin.Image(t.Context(), spec)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := ownership.Change(t.Context(), admin, image, func(stored ceph.Record) (ceph.Record, error) {
				stored.SCC, stored.ClaimSize = test.last, mib
				return stored, nil
			}); err != nil {
				t.Fatal(err)
			}
			if _, err := w.reconcile("data"); err != nil {
				t.Fatal(err)
			}
			same(t, "events", append([]string{"Normal ProvisioningSucceeded: created PersistentVolume shop.data of image replicapool/north/shop.data for class block"}, test.want...), w.events)
			same(t, "volumes", []string{"shop.data"}, w.names())
		})
	}
}
