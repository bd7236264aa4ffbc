package inventory

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/ownership"
)

func TestOrphan(t *testing.T) {
	data := ceph.ImageSpec{Pool: "rbd", Name: "shop.data"}
	for name, test := range map[string]struct {
		clusterID string
		spec      ceph.ImageSpec
		gone      bool
		want      string
	}{
		"its volume is gone":      {"rook-ceph", data, true, ""},
		"its volume is there":     {"rook-ceph", data, false, "PersistentVolume shop.data may lead to it; name its claim instead of the image"},
		"another rados namespace": {"rook-ceph", ceph.ImageSpec{Pool: "rbd", Namespace: "north", Name: "shop.data"}, true, `clusterID "rook-ceph" is for images in rados namespace "", not "north"`},
		"no such clusterID":       {"far", data, true, `clusterID "far" is not configured`},
		"no such image":           {"rook-ceph", ceph.ImageSpec{Pool: "rbd", Name: "shop.none"}, true, "the image does not exist"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.owned(t, "shop.data", east)
			if test.gone {
				if err := r.API.(client.Client).Delete(t.Context(), pv("data")); err != nil {
					t.Fatal(err)
				}
			}
			volume, err := r.Orphan(t.Context(), test.clusterID, test.spec)
			if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
				t.Fatalf("%v; want %s", err, test.want)
			}
			if err == nil && (!volume.Orphan || volume.Namespace != "shop" || volume.Claim != "data" || volume.Image.Name != "shop.data") {
				t.Errorf("%+v", volume)
			}
		})
	}
}

// What no volume says any more counts against an orphan, whatever image it is of.
func TestSeenOfAnOrphan(t *testing.T) {
	stray := attachment("by-hand")
	stray.Spec.Attacher = driver
	tests := map[string]struct {
		object client.Object
		want   ownership.Seen
		uses   []string
	}{
		"nothing":       {},
		"a pod":         {pod("db-0", "e1", corev1.PodRunning), ownership.Seen{Pods: []string{"uid"}, Attached: []ceph.Node{{Name: "e1"}}}, []string{"pod shop/db-0"}},
		"an attachment": {stray, ownership.Seen{Attached: []ceph.Node{{Name: "e1"}}}, []string{"volumeattachment csi-1 (of PersistentVolume by-hand, which is gone)"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			api := r.API.(client.Client)
			if err := api.Delete(t.Context(), pv("data")); err != nil {
				t.Fatal(err)
			}
			if test.object != nil {
				if err := api.Create(t.Context(), test.object); err != nil {
					t.Fatal(err)
				}
			}
			record := r.owned(t, "shop.data", east)
			volume, err := r.Orphan(t.Context(), "rook-ceph", ceph.ImageSpec{Pool: "rbd", Name: "shop.data"})
			if err != nil {
				t.Fatal(err)
			}
			seen, uses, err := r.Seen(t.Context(), volume, record, nil)
			if diff := cmp.Diff(test.want, seen); diff != "" || err != nil || !slices.Equal(uses, test.uses) {
				t.Errorf("%v, uses %q, -want +got:\n%s", err, uses, diff)
			}
		})
	}
}
