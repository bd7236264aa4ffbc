package inventory

import (
	"strings"
	"testing"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/cephferry/cephferry/pkg/ceph"
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
