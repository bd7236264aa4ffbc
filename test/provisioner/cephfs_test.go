//go:build lab

package provisioner

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cephferry/cephferry/test/lab"
	"github.com/cephferry/cephferry/test/scene"
)

// TestAFilesystemIsSharedByBothClusters: the same claim in both has the same
// subvolume, at the same time, and its quota grows at once.
func TestAFilesystemIsSharedByBothClusters(t *testing.T) {
	t.Parallel()
	tm := newTeam(t)
	files := func(c *scene.Cluster, more ...string) string {
		return shared("files", append(more, "cephferry.io/class: "+c.Rook.FilesystemClass)...)
	}
	image := tm.image("files")
	var roots []string
	for _, c := range []*scene.Cluster{east, west} {
		tm.apply(c, files(c)+pod("app", "files"))
		tm.bound(c, "files", image)
		tm.Ready(c, "app")
		got := tm.volume(c, image).Spec.CSI
		roots = append(roots, got.VolumeAttributes["rootPath"])
		delete(got.VolumeAttributes, "rootPath")
		if diff := cmp.Diff(map[string]string{"clusterID": c.Rook.ClusterID, "fsName": lab.Filesystem, "staticVolume": "true"}, got.VolumeAttributes); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
		if got.Driver != c.Rook.Operator+".cephfs.csi.ceph.com" {
			t.Errorf("driver %s", got.Driver)
		}
	}
	if !strings.HasPrefix(roots[0], "/volumes/") || roots[0] != roots[1] {
		t.Errorf("root paths %q", roots)
	}
	tm.apply(east, files(east, "cephferry.io/size: 32Mi"))
	tm.event(east, "files", "Normal Resized: grew subvolume", "to 32Mi")
	if conditions := tm.get(east, "files").Status.Conditions; len(conditions) > 0 {
		t.Errorf("conditions %v", conditions)
	}
	tm.Kubectl(east, "delete", "pod/app", "persistentvolumeclaim/files")
	tm.gone(east, image)
	tm.apply(east, files(east))
	tm.bound(east, "files", image)
	if root := tm.volume(east, image).Spec.CSI.VolumeAttributes["rootPath"]; root != roots[1] {
		t.Errorf("the new claim has %s, want %s", root, roots[1])
	}
}
