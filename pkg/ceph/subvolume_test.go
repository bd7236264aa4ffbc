package ceph

import "testing"

func TestSubvolumeSpecString(t *testing.T) {
	spec := SubvolumeSpec{Filesystem: "cephfs", Group: "csi", Name: "shop.data"}
	if got, want := spec.String(), "cephfs/csi/shop.data"; got != want {
		t.Errorf("got %q; want %q", got, want)
	}
}
