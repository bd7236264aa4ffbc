package provisioner

import (
	"context"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/ceph/cephtest"
	"github.com/cephferry/cephferry/pkg/ownership"
)

// TestSimilarImages: a claim of a renamed release gets its new image, and is told which one it
// may have meant. Images that are in use, other tenants' or other claims' are not named.
func TestSimilarImages(t *testing.T) {
	const said = "Warning SimilarImages: image shop.store-files is new and empty; there are images of the same size that look like it, were used before and are free now: shop.web-files; " +
		`if one of them is meant, delete this claim, and make it again with the annotations cephferry.io/image: shop.web-files and cephferry.io/adopt: "true"`
	made := []string{"Normal ProvisioningSucceeded: created PersistentVolume shop.store-files of image replicapool/north/shop.store-files for class block"}
	here := edit(ptr(volume(named("shop.web-files"))), func(pv *corev1.PersistentVolume) { pv.Spec.ClaimRef.Name = "web-files" })
	elsewhere := edit(here.DeepCopy(), func(pv *corev1.PersistentVolume) { pv.Spec.CSI.VolumeAttributes["pool"] = "slow" })
	subvolume := edit(here.DeepCopy(), func(pv *corev1.PersistentVolume) { pv.Spec.CSI.Driver = "rook-ceph.cephfs.csi.ceph.com" })
	for name, test := range map[string]struct {
		image   string
		held    bool
		there   bool
		objects []client.Object
		want    []string
	}{
		"used before, and free":           {image: "shop.web-files", want: append(made[:1:1], said)},
		"another tenant's":                {image: "bank.web-files", want: made},
		"in use":                          {image: "shop.web-files", held: true, want: made},
		"another claim's of this cluster": {image: "shop.web-files", objects: []client.Object{here}, want: made},
		"a volume of another pool":        {image: "shop.web-files", objects: []client.Object{elsewhere}, want: append(made[:1:1], said)},
		"a subvolume of that name":        {image: "shop.web-files", objects: []client.Object{subvolume}, want: append(made[:1:1], said)},
		"the claim's own is there":        {image: "shop.web-files", there: true, want: made},
	} {
		t.Run(name, func(t *testing.T) {
			images := []cephtest.Image{{Name: test.image, Layout: ceph.Layout{Size: mib}, ClaimSize: mib}}
			if test.there {
				images = append(images, cephtest.Image{Name: "shop.store-files", Layout: ceph.Layout{Size: mib}, ClaimSize: mib})
			}
			claim := edit(pvc(), func(c *corev1.PersistentVolumeClaim) { c.Name = "store-files" })
			w := newWorld(t, images, append(test.objects, claim)...)
			admin, err := w.ceph.Dial(t.Context(), cephtest.Provisioner)
			if err != nil {
				t.Fatal(err)
			}
			image, err := admin.Image(t.Context(), ceph.ImageSpec{Pool: pool, Namespace: "north", Name: test.image})
			if err != nil {
				t.Fatal(err)
			}
			east := ceph.Party{UID: "u-east", Name: "east"}
			change := func(transition func(ceph.Record) (ceph.Record, error)) {
				t.Helper()
				if _, err := ownership.Change(t.Context(), admin, image, transition); err != nil {
					t.Fatal(err)
				}
			}
			change(func(stored ceph.Record) (ceph.Record, error) {
				return ownership.Acquire(stored, ownership.Request{Cluster: east, Namespace: "shop", Claim: "web-files"})
			})
			if !test.held {
				change(func(stored ceph.Record) (ceph.Record, error) {
					return ownership.Release(stored, east, "", w.claims.Now())
				})
			}
			if _, err := w.reconcile("store-files"); err != nil {
				t.Fatal(err)
			}
			same(t, "events", test.want, w.events)
		})
	}
}

// TestSimilarImagesAreACourtesy: without a look at them the claim has its volume all the same, and
// many claims need one look.
func TestSimilarImagesAreACourtesy(t *testing.T) {
	second := edit(pvc(), func(c *corev1.PersistentVolumeClaim) { c.Name, c.UID = "more", "2" })
	w := newWorld(t, nil, pvc(), second)
	for _, name := range []string{"data", "more"} {
		if _, err := w.reconcile(name); err != nil {
			t.Fatal(err)
		}
	}
	looks := 0
	for _, call := range w.calls() {
		if call == "Records" {
			looks++
		}
	}
	if looks != 1 {
		t.Errorf("%d looks, want 1", looks)
	}
	same(t, "volumes", []string{"shop.data", "shop.more"}, w.names())

	w = newWorld(t, nil, pvc())
	w.ceph.Intercept(func(_ context.Context, call cephtest.Call, proceed func() error) error {
		if call.Method == "Records" {
			return ceph.ErrUnreachable
		}
		return proceed()
	})
	if _, err := w.reconcile("data"); err != nil {
		t.Fatal(err)
	}
	same(t, "volumes", []string{"shop.data"}, w.names())
	same(t, "conditions", []string(nil), w.conditions("data"))
}
