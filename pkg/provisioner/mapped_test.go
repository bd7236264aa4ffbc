package provisioner

import (
	"fmt"
	"slices"
	"testing"

	"github.com/cephferry/cephferry/pkg/csiconfig"
)

// TestAMappedClusterIDOfCephFS: ceph-csi would not look for the subvolume where the mapping leads,
// so none is made there.
func TestAMappedClusterIDOfCephFS(t *testing.T) {
	files := class("files", "fsName=cephfs")
	files.Provisioner = "rook-ceph.cephfs.csi.ceph.com"
	w := newWorld(t, nil, pvc("class=files"), files)
	w.cephFS = fmt.Errorf("%w: elsewhere", csiconfig.ErrMapped)
	if _, err := w.reconcile("data"); err != nil {
		t.Fatal(err)
	}
	same(t, "conditions", []string{"Stalled: ceph-csi maps the clusterIDs of RBD volumes, not those of CephFS: elsewhere"}, w.conditions("data"))
	if calls := w.calls(); slices.ContainsFunc(calls, func(call string) bool { return call != "" }) {
		t.Errorf("Ceph was asked: %q", calls)
	}
}
