package provisioner

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/ceph/cephtest"
	"github.com/cephferry/cephferry/pkg/staticpv"
)

// TestAnImageThatNoVolumeCanBeCalledLike: from its adoption to the end of its claim, the image
// is found by its handle, and the volume by its own name.
func TestAnImageThatNoVolumeCanBeCalledLike(t *testing.T) {
	const image = "shop.My_Data"
	name := staticpv.VolumeName(image)
	claim := pvc("image="+image, "adopt=true")
	w := newWorld(t, []cephtest.Image{{Name: image, Layout: ceph.Layout{Size: 2 * mib}}}, claim,
		edit(pvc("image="+image, "adopt=true"), func(c *corev1.PersistentVolumeClaim) { c.Name, c.UID = "more", "2" }))
	get := func(key client.ObjectKey, object client.Object) {
		t.Helper()
		if err := w.objects.Get(t.Context(), key, object); err != nil {
			t.Fatal(err)
		}
	}
	reconcile := func(name string) {
		t.Helper()
		if _, err := w.reconcile(name); err != nil {
			t.Fatal(err)
		}
	}
	reconcile("data")
	same(t, "volumes", []string{name}, w.names())
	var pv corev1.PersistentVolume
	get(client.ObjectKey{Name: name}, &pv)
	same(t, "handle", image, pv.Spec.CSI.VolumeHandle)
	same(t, "capacity", "2Mi", pv.Spec.Capacity.Storage().String())

	// What is there is the claim's, and nobody else's.
	before := len(w.calls())
	reconcile("data")
	reconcile("more")
	same(t, "calls", before, len(w.calls()))
	same(t, "events", []string{
		"Normal ProvisioningSucceeded: created PersistentVolume " + name + " of image replicapool/north/shop.My_Data for class block",
		"Warning ProvisioningFailed: PersistentVolume " + name + " has image shop.My_Data already, for claim shop/data",
	}, w.events)

	// Bound, it grows.
	get(client.ObjectKeyFromObject(claim), claim)
	claim.Spec.VolumeName, claim.Annotations["cephferry.io/size"] = name, "4Mi"
	if err := w.objects.Update(t.Context(), claim); err != nil {
		t.Fatal(err)
	}
	claim.Status.Phase = corev1.ClaimBound
	if err := w.objects.Status().Update(t.Context(), claim); err != nil {
		t.Fatal(err)
	}
	w.events = nil
	reconcile("data")
	same(t, "events", []string{"Normal Resized: grew image replicapool/north/shop.My_Data to 4Mi"}, w.events)

	// And its volume goes with it.
	same(t, "fate", removed, fateOf(&pv))
}

// TestTwoImagesWithOneVolumeName: should it ever be, the second is refused.
func TestTwoImagesWithOneVolumeName(t *testing.T) {
	claim := pvc("image=shop.My_Data")
	there := volume(named(staticpv.VolumeName("shop.My_Data")), handle("shop.Your_Data"))
	w := newWorld(t, nil, claim, &there)
	if _, err := w.reconcile("data"); err != nil {
		t.Fatal(err)
	}
	same(t, "conditions", []string{"Stalled: PersistentVolume " + there.Name + ` has image "shop.Your_Data", and the claim's is "shop.My_Data"; delete it if that is not intended`}, w.conditions("data"))
}
