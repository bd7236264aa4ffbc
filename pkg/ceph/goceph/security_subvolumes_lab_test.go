//go:build lab && cgo

package goceph

import (
	"errors"
	"fmt"
	"testing"

	"github.com/ceph/go-ceph/cephfs"
	"github.com/ceph/go-ceph/cephfs/admin"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/test/lab"
)

// subvolumeTries are the actions of the document's table about subvolumes. Each
// gets a subvolume with a record, of its own.
var subvolumeTries = map[string]func(t *testing.T, h *harness, p person, subvolume ceph.Subvolume) []try{
	"look at a subvolume": func(t *testing.T, h *harness, p person, subvolume ceph.Subvolume) []try {
		return []try{func() error { _, err := p.Subvolume(t.Context(), subvolume.SubvolumeSpec); return err }}
	},
	"read a subvolume's record": func(t *testing.T, h *harness, p person, subvolume ceph.Subvolume) []try {
		return []try{func() error { _, err := p.SubvolumeRecord(t.Context(), subvolume); return err }}
	},
	"create a subvolume, and its group": func(t *testing.T, h *harness, p person, subvolume ceph.Subvolume) []try {
		return []try{
			func() error {
				subvolume.Name += "-new"
				_, err := p.CreateSubvolume(t.Context(), subvolume.SubvolumeSpec, ceph.SubvolumeLayout{Size: 1 << 20})
				return err
			},
			func() error { return p.files(t).CreateSubVolumeGroup(subvolume.Filesystem, subvolume.Group, nil) },
		}
	},
	"grow a subvolume": func(t *testing.T, h *harness, p person, subvolume ceph.Subvolume) []try {
		return []try{func() error { return p.GrowSubvolume(t.Context(), subvolume.SubvolumeSpec, subvolume.Size+1) }}
	},
	"lower a subvolume's quota": func(t *testing.T, h *harness, p person, subvolume ceph.Subvolume) []try {
		return []try{func() error {
			_, err := p.files(t).ResizeSubVolume(subvolume.Filesystem, subvolume.Group, subvolume.Name, admin.ByteCount(subvolume.Size/2), false)
			return err
		}}
	},
	"write a subvolume's record": func(t *testing.T, h *harness, p person, subvolume ceph.Subvolume) []try {
		return []try{
			func() error {
				record, err := h.connectAs(t, h.CephFSProvisioner).SubvolumeRecord(t.Context(), subvolume)
				must(t, err)
				_, err = p.PutSubvolumeRecord(t.Context(), subvolume, record)
				return err
			},
			func() error {
				ioctx := p.ioctx(t, ceph.ImageSpec{Pool: lab.MetadataPool, Namespace: ceph.SubvolumeNamespace})
				return ioctx.Delete(ceph.SubvolumeRecordObject(subvolume.Path))
			},
		}
	},
	"list the subvolumes of a group": func(t *testing.T, h *harness, p person, subvolume ceph.Subvolume) []try {
		return []try{func() error { _, err := p.files(t).ListSubVolumes(subvolume.Filesystem, subvolume.Group); return err }}
	},
	"remove a subvolume": func(t *testing.T, h *harness, p person, subvolume ceph.Subvolume) []try {
		return []try{func() error {
			return p.files(t).RemoveSubVolume(subvolume.Filesystem, subvolume.Group, subvolume.Name)
		}}
	},
	"make a snapshot of a subvolume": func(t *testing.T, h *harness, p person, subvolume ceph.Subvolume) []try {
		return []try{func() error {
			return p.files(t).CreateSubVolumeSnapshot(subvolume.Filesystem, subvolume.Group, subvolume.Name, "snapshot")
		}}
	},
	"let another user mount a subvolume": func(t *testing.T, h *harness, p person, subvolume ceph.Subvolume) []try {
		return []try{p.managerCommand(t, fmt.Sprintf(
			`{"prefix":"fs subvolume authorize","vol_name":%q,"group_name":%q,"sub_name":%q,"auth_id":%q,"access_level":"rw"}`,
			subvolume.Filesystem, subvolume.Group, subvolume.Name, subvolume.Name))}
	},
	"mount the file system": func(t *testing.T, h *harness, p person, subvolume ceph.Subvolume) []try {
		return []try{func() error { return p.mounts(t, h, subvolume.Path) }, func() error { return p.mounts(t, h, "/") }}
	},
	"read the data of a file system": func(t *testing.T, h *harness, p person, subvolume ceph.Subvolume) []try {
		return []try{func() error {
			_, err := p.ioctx(t, ceph.ImageSpec{Pool: lab.DataPool}).Read("object", make([]byte, 512), 0)
			return err
		}}
	},
	"write the data of a file system": func(t *testing.T, h *harness, p person, subvolume ceph.Subvolume) []try {
		return []try{func() error {
			return p.ioctx(t, ceph.ImageSpec{Pool: lab.DataPool}).WriteFull("object", []byte("x"))
		}}
	},
	"change a file system's metadata": func(t *testing.T, h *harness, p person, subvolume ceph.Subvolume) []try {
		return []try{func() error {
			return p.ioctx(t, ceph.ImageSpec{Pool: lab.MetadataPool}).WriteFull("object", []byte("x"))
		}}
	},
	"look at a subvolume in another group": func(t *testing.T, h *harness, p person, subvolume ceph.Subvolume) []try {
		subvolume.Group = "other"
		h.subvolume(t, subvolume.SubvolumeSpec)
		return []try{func() error { _, err := p.Subvolume(t.Context(), subvolume.SubvolumeSpec); return err }}
	},
	"create a subvolume in another group": func(t *testing.T, h *harness, p person, subvolume ceph.Subvolume) []try {
		return []try{
			func() error { return p.files(t).CreateSubVolume(subvolume.Filesystem, "other", subvolume.Name, nil) },
			func() error {
				return p.files(t).CreateSubVolume(subvolume.Filesystem, admin.NoGroup, subvolume.Name, nil)
			},
			func() error { return p.files(t).CreateSubVolumeGroup(subvolume.Filesystem, "other", nil) },
		}
	},
	"create a subvolume in another file system": func(t *testing.T, h *harness, p person, subvolume ceph.Subvolume) []try {
		return []try{func() error { return p.files(t).CreateSubVolume("other", subvolume.Group, subvolume.Name, nil) }}
	},
	"remove a file system": func(t *testing.T, h *harness, p person, subvolume ceph.Subvolume) []try {
		// The manager asks whether this is meant, but only those who may.
		remove := p.managerCommand(t, fmt.Sprintf(`{"prefix":"fs volume rm","vol_name":%q}`, subvolume.Filesystem))
		return []try{func() error {
			if err := remove(); errno(err) != eperm {
				return err
			}
			return nil
		}}
	},
}

// files gives commands to the manager as the person.
func (p person) files(t *testing.T) *admin.FSAdmin {
	t.Helper()
	m, err := p.manager.connect(t.Context())
	must(t, err)
	return admin.NewFromConn(m.rados)
}

func (p person) managerCommand(t *testing.T, command string) try {
	return func() error {
		m, err := p.manager.connect(t.Context())
		must(t, err)
		_, status, err := m.rados.MgrCommand([][]byte{[]byte(command)})
		if err != nil {
			return fmt.Errorf("%s: %w (%s)", command, err, status)
		}
		return nil
	}
}

// mounts mounts a folder of the file system, for a moment. Whom the metadata server does not
// let in, the client of Ceph 16 is told, and that of 18 waits for an answer until its time is
// up. So a mount that takes too long is a refusal if the administrator's does not.
func (p person) mounts(t *testing.T, h *harness, root string) error {
	t.Helper()
	err := mountOnce(t, h, lab.User{ID: p.manager.config.User, Key: p.manager.config.Key}, root)
	if errno(err) == etimedout && mountOnce(t, h, h.Admin, root) == nil {
		return fmt.Errorf("mount %s: nobody answers %s, and somebody the administrator: %w", root, p.manager.config.User, ceph.ErrPermission)
	}
	return err
}

func mountOnce(t *testing.T, h *harness, user lab.User, root string) error {
	t.Helper()
	mount, err := cephfs.CreateMountWithId(user.ID)
	must(t, err)
	must(t, mount.ReadConfigFile(h.ConfFile))
	must(t, mount.SetConfigOption("key", user.Key))
	must(t, mount.SetConfigOption("client_mount_timeout", "10"))
	err = mount.MountWithRoot(root)
	if err == nil {
		err = mount.Unmount()
	}
	return errors.Join(err, mount.Release())
}

// subvolume makes a subvolume with a record.
func (h *harness) subvolume(t *testing.T, spec ceph.SubvolumeSpec) ceph.Subvolume {
	t.Helper()
	cluster := h.connectAs(t, h.CephFSProvisioner)
	made, err := cluster.CreateSubvolume(t.Context(), spec, ceph.SubvolumeLayout{Size: 4 << 20})
	must(t, err)
	_, err = cluster.PutSubvolumeRecord(t.Context(), made, ceph.Record{ClaimSize: 1})
	must(t, err)
	return made
}
