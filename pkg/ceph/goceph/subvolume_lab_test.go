//go:build lab && cgo

package goceph

import (
	"testing"

	"github.com/ceph/go-ceph/cephfs/admin"
	"github.com/ceph/go-ceph/rados"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/ceph/cephtest"
	"github.com/cephferry/cephferry/test/lab"
)

// startSubvolumeHarness starts a Ceph with a file system, and users that have to
// do with subvolumes only.
func startSubvolumeHarness(t *testing.T) *harness {
	t.Helper()
	h := startFilesystem(t)
	wanted := cephtest.SubvolumeFilesystem()
	if wanted.Name != lab.Filesystem {
		t.Fatalf("the lab has no file system %q", wanted.Name)
	}
	for _, pool := range wanted.DataPools {
		h.mon(t, command{"prefix": "osd pool create", "pool": pool})
		h.mon(t, command{"prefix": "fs add_data_pool", "fs_name": wanted.Name, "pool": pool})
	}
	h.users[cephtest.Provisioner] = h.CephFSProvisioner
	h.users[cephtest.Observer] = h.user(t, "subvolume-observer", "mon", "allow r", "mgr", "allow module volumes r", "osd", "allow r tag cephfs metadata=*")
	return h
}

func (h *harness) files() *admin.FSAdmin { return admin.NewFromConn(h.admin) }

func (h *harness) RemoveSubvolume(t *testing.T, spec ceph.SubvolumeSpec) {
	t.Helper()
	must(t, h.files().RemoveSubVolume(spec.Filesystem, spec.Group, spec.Name))
}

func (h *harness) SetSubvolumeQuota(t *testing.T, spec ceph.SubvolumeSpec, size uint64) {
	t.Helper()
	var quota admin.QuotaSize = admin.ByteCount(size)
	if size == 0 {
		quota = admin.Infinite
	}
	_, err := h.files().ResizeSubVolume(spec.Filesystem, spec.Group, spec.Name, quota, false)
	must(t, err)
}

func (h *harness) SubvolumeLayout(t *testing.T, spec ceph.SubvolumeSpec) ceph.SubvolumeLayout {
	t.Helper()
	info, err := h.files().SubVolumeInfo(spec.Filesystem, spec.Group, spec.Name)
	must(t, err)
	layout := ceph.SubvolumeLayout{DataPool: info.DataPool}
	if layout.DataPool == lab.DataPool {
		layout.DataPool = ""
	}
	if quota, limited := info.BytesQuota.(admin.ByteCount); limited {
		layout.Size = uint64(quota)
	}
	return layout
}

func (h *harness) WriteSubvolumeRecord(t *testing.T, subvolume ceph.Subvolume, data []byte) {
	t.Helper()
	ioctx := h.ioctx(t, ceph.ImageSpec{Pool: lab.MetadataPool, Namespace: ceph.SubvolumeNamespace})
	object := ceph.SubvolumeRecordObject(subvolume.Path)
	must(t, ioctx.Create(object, rados.CreateIdempotent))
	must(t, ioctx.Truncate(object, 0))
	if len(data) > 0 { // go-ceph panics when there is nothing to write
		must(t, ioctx.Write(object, data, 0))
	}
}

func (h *harness) CutManager(t *testing.T) func() {
	t.Helper()
	must(t, h.Manager.Freeze())
	return func() { must(t, h.Manager.Thaw()) }
}
