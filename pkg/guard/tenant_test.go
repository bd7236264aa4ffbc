package guard_test

import (
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/cephferry/cephferry/pkg/guard"
)

// ofBank makes a volume that of a claim in namespace bank.
func ofBank(uid types.UID) func(*corev1.PersistentVolume) {
	return func(pv *corev1.PersistentVolume) {
		pv.Spec.ClaimRef.Namespace, pv.Spec.ClaimRef.UID = "bank", uid
	}
}

// TestTheVolumeOfAnotherTenant: a claim of namespace shop names a volume of namespace bank.
// Nothing is acquired, Ceph is not asked, and no answer says anything of the volume,
// whatever there would be to say.
func TestTheVolumeOfAnotherTenant(t *testing.T) {
	greedy := claim("data", "shop.data")
	greedy.Status.Phase, greedy.UID = corev1.ClaimBound, "1"
	waiting := pod("db-0", "data")
	for who, object := range map[string]*corev1.PersistentVolume{
		"bound":                      volume("data", ofBank("1")),
		"for a claim that is to be":  volume("data", ofBank("")),
		"whose image is not known":   volume("data", ofBank("1"), without("pool")),
		"on CephFS":                  volume("data", ofBank("1"), cephFS),
		"of an earlier claim":        volume("data", func(pv *corev1.PersistentVolume) { pv.Spec.ClaimRef.UID = "0" }),
		"for nobody":                 volume("data", withoutClaim),
		"of a rados namespace of it": volume("data", ofBank("1"), func(pv *corev1.PersistentVolume) { pv.Spec.CSI.VolumeAttributes["clusterID"] = "north-id" }),
	} {
		for state, change := range map[string]func(*world){
			"free":           func(*world) {},
			"open":           func(w *world) { w.watch("shop.data", foreign) },
			"east's":         func(w *world) { w.write("shop.data", owned(east)) },
			"this cluster's": func(w *world) { w.write("shop.data", owned(west)) },
		} {
			t.Run(fmt.Sprintf("a volume %s, %s", who, state), func(t *testing.T) {
				w := newWorld(t, []string{"shop.data", "north/shop.data"}, []client.Object{object, greedy, waiting, deployment("data"), statefulSet(0, "data")}...)
				change(w)
				before, asked := w.record("shop.data"), len(w.ceph.Calls())
				for range 25 {
					same(t, allowed(guard.NothingGuarded), w.ask("pod", createPod(t, waiting)))
				}
				same(t, allowed(guard.NothingGuarded), w.ask("binding", bound(t, "db-0", "west-1")))
				same(t, allowed(guard.NothingGuarded), w.ask("scale", scaled(t, deploymentKind, "deployments", 0, 1)))
				same(t, asked, len(w.ceph.Calls()))
				same(t, before, w.record("shop.data"))
				same(t, nil, w.events)
			})
		}
	}
}
