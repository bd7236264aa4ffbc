package compare

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/types"
)

// rbd is a pool as both clusters describe it; changed is that of one of them.
func rbd(changed ...func(*Place)) Place {
	place := Place{ClusterID: "rook-ceph", Monitors: []string{"10.0.0.1:6789", "10.0.0.2:6789"}, Pool: "rbd"}
	for _, change := range changed {
		change(&place)
	}
	return place
}

func cephfs(changed ...func(*Place)) Place {
	place := Place{ClusterID: "rook-ceph", Monitors: []string{"10.0.0.1:6789"}, Filesystem: "cephfs", SubvolumeGroup: "csi"}
	for _, change := range changed {
		change(&place)
	}
	return place
}

func asked(fsid string, pool int64) func(*Place) {
	return func(p *Place) { p.FSID, p.PoolID = fsid, pool }
}

func TestClasses(t *testing.T) {
	for name, test := range map[string]struct {
		from, to Class
		want     Finding
	}{
		"the same": {
			Class{Name: "block", Place: rbd()}, Class{Name: "block", Place: rbd()},
			Finding{"StorageClass block", Same, "the same Ceph by its monitors, pool rbd"},
		},
		"another clusterID that leads to the same": {
			Class{Name: "block", Place: rbd()}, Class{Name: "block", Place: rbd(func(p *Place) { p.ClusterID, p.Monitors = "ceph", p.Monitors[1:] })},
			Finding{"StorageClass block", Same, "the same Ceph by its monitors, pool rbd, clusterID rook-ceph in east and ceph in west, which may be"},
		},
		"no monitor in common": {
			Class{Name: "block", Place: rbd()}, Class{Name: "block", Place: rbd(func(p *Place) { p.Monitors = []string{"10.9.0.1:6789"} })},
			Finding{"StorageClass block", Unknown, "no monitor in common (10.0.0.1:6789,10.0.0.2:6789 in east, 10.9.0.1:6789 in west): with --direct, the fsid tells whether it is one Ceph"},
		},
		"no monitor in common, and Ceph says that it is one": {
			Class{Name: "block", Place: rbd(asked("f1", 2))}, Class{Name: "block", Place: rbd(asked("f1", 2), func(p *Place) { p.Monitors = []string{"10.9.0.1:6789"} })},
			Finding{"StorageClass block", Same, "fsid f1, pool rbd, pool id 2"},
		},
		"the same monitors' addresses at two sites": {
			Class{Name: "block", Place: rbd(asked("f1", 2))}, Class{Name: "block", Place: rbd(asked("f2", 2))},
			Finding{"StorageClass block", Differs, "fsid is f1 in east and f2 in west"},
		},
		"another pool": {
			Class{Name: "block", Place: rbd(asked("f1", 2))}, Class{Name: "block", Place: rbd(asked("f1", 3), func(p *Place) { p.Pool = "fast" })},
			Finding{"StorageClass block", Differs, "pool is rbd in east and fast in west; pool id is 2 in east and 3 in west"},
		},
		"another rados namespace": {
			Class{Name: "block", Place: rbd()}, Class{Name: "block", Place: rbd(func(p *Place) { p.RadosNamespace = "west" })},
			Finding{"StorageClass block", Differs, "rados namespace is none in east and west in west"},
		},
		"another pool, and no monitor in common": {
			Class{Name: "block", Place: rbd()}, Class{Name: "block", Place: rbd(func(p *Place) { p.Monitors, p.Pool = nil, "fast" })},
			Finding{"StorageClass block", Differs, "pool is rbd in east and fast in west"},
		},
		"the same file system": {
			Class{Name: "files", Place: cephfs()}, Class{Name: "files", Place: cephfs()},
			Finding{"StorageClass files", Same, "the same Ceph by its monitors, file system cephfs, subvolume group csi"},
		},
		"another file system and group": {
			Class{Name: "files", Place: cephfs()}, Class{Name: "files", Place: cephfs(func(p *Place) { p.Filesystem, p.SubvolumeGroup = "other", "west" })},
			Finding{"StorageClass files", Differs, "file system is cephfs in east and other in west; subvolume group is csi in east and west in west"},
		},
		"RBD here and CephFS there": {
			Class{Name: "it", Place: rbd()}, Class{Name: "it", Place: cephfs()},
			Finding{"StorageClass it", Differs, "it is RBD in east and CephFS in west"},
		},
		"ours here, and ceph-csi's there": {
			Class{Name: "migratable", Ours: true, Place: rbd()}, Class{Name: "migratable", Place: rbd()},
			Finding{"StorageClass migratable", Differs, "its volumes are cephferry's in east and ceph-csi's in west, where each claim gets a new, empty one"},
		},
		"ours there, and ceph-csi's here": {
			Class{Name: "migratable", Place: rbd()}, Class{Name: "migratable", Ours: true, Place: rbd()},
			Finding{"StorageClass migratable", Differs, "its volumes are cephferry's in west and ceph-csi's in east, where each claim gets a new, empty one"},
		},
		"not known where it leads": {
			Class{Name: "block", Place: rbd()}, Class{Name: "block", Place: rbd(func(p *Place) { p.Err = errors.New("no configuration") })},
			Finding{"StorageClass block", Unknown, "west: no configuration"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			other := Class{Name: "only-here", Place: rbd()}
			got := Compare(Side{Name: "east", UID: "u1", Classes: []Class{test.from, other}}, Side{Name: "west", UID: "u2", Classes: []Class{test.to}})
			if diff := cmp.Diff([]Finding{test.want}, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestVolumes(t *testing.T) {
	data := Volume{PV: "shop.data", Place: rbd(), Image: "shop.data"}
	changed := func(change func(*Volume)) Volume {
		volume := data
		change(&volume)
		return volume
	}
	direct := changed(func(v *Volume) { v.Place, v.ID = rbd(asked("f1", 2)), "id1" })
	for name, test := range map[string]struct {
		from, to Volume
		verdict  Verdict
		detail   string
	}{
		"the same":                           {data, data, Same, "the same Ceph by its monitors, pool rbd"},
		"the same, by the image's id":        {direct, direct, Same, "fsid f1, pool rbd, pool id 2"},
		"not made yet":                       {data, changed(func(v *Volume) { v.PV = "" }), Same, "west has no PersistentVolume yet, and would make it of the same shop.data; the same Ceph by its monitors, pool rbd"},
		"another name":                       {data, changed(func(v *Volume) { v.PV, v.Image = "", "shop-west.data" }), Differs, "west would make its PersistentVolume of shop-west.data, and the data is in shop.data"},
		"another name, and made":             {data, changed(func(v *Volume) { v.PV, v.Image = "pv1", "csi-vol-1" }), Differs, "PersistentVolume pv1 of west leads to csi-vol-1, and the data is in shop.data"},
		"another pool":                       {data, changed(func(v *Volume) { v.Place.Pool = "fast" }), Differs, "PersistentVolume shop.data of west leads to another shop.data: pool is rbd in east and fast in west"},
		"no such image there":                {direct, changed(func(v *Volume) { v.Place, v.PV, v.Missing = direct.Place, "", true }), Differs, "west would make its PersistentVolume of shop.data, and there is no such image: a new, empty one would be made (fsid f1, pool rbd, pool id 2)"},
		"an image of that name made anew":    {direct, changed(func(v *Volume) { v.Place, v.ID = direct.Place, "id2" }), Differs, "PersistentVolume shop.data of west leads to shop.data with the id id2, and the data is in the one with the id id1 (fsid f1, pool rbd, pool id 2)"},
		"no monitor in common":               {data, changed(func(v *Volume) { v.Place.Monitors = []string{"10.9.0.1:6789"} }), Unknown, "no monitor in common (10.0.0.1:6789,10.0.0.2:6789 in east, 10.9.0.1:6789 in west): with --direct, the fsid tells whether it is one Ceph"},
		"no monitor in common, one record":   {changed(func(v *Volume) { v.Record = "r" }), changed(func(v *Volume) { v.Record, v.Place.Monitors = "r", nil }), Same, "both clusters show the same record of image shop.data"},
		"a new volume instead":               {data, Volume{Instead: "StorageClass fast would make a new, empty volume"}, Differs, "west: StorageClass fast would make a new, empty volume"},
		"not known what it would get":        {data, Volume{Err: errors.New("timeout")}, Unknown, "west: timeout"},
		"not known what it has":              {changed(func(v *Volume) { v.Err = errors.New("timeout") }), data, Unknown, "east: timeout"},
		"the source's image is gone":         {changed(func(v *Volume) { v.Missing = true }), data, Unknown, "east has no image shop.data, to which its PersistentVolume shop.data leads"},
		"a volume that nobody guards":        {Volume{PV: "pvc-1", Unguarded: true}, data, Note, "its volume in east is not guarded, so a move leaves its data behind; kubectl cephferry adopt or export makes it movable"},
		"another record, as the leaders lag": {changed(func(v *Volume) { v.Record = "r1" }), changed(func(v *Volume) { v.Record = "r2" }), Same, "the same Ceph by its monitors, pool rbd"},
	} {
		t.Run(name, func(t *testing.T) {
			claim := types.NamespacedName{Namespace: "shop", Name: "data"}
			got := Compare(Side{Name: "east", UID: "u1", Volumes: map[types.NamespacedName]Volume{claim: test.from}},
				Side{Name: "west", UID: "u2", Volumes: map[types.NamespacedName]Volume{claim: test.to}})
			if diff := cmp.Diff([]Finding{{"claim shop/data", test.verdict, test.detail}}, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestClusters(t *testing.T) {
	east, west := Side{Name: "east", UID: "u1"}, Side{Name: "west", UID: "u2"}
	if got := Compare(east, Side{Name: "again", UID: "u1"}); Worst(got) != Differs || got[0].Detail != "east and again lead to one cluster" {
		t.Errorf("%+v", got)
	}
	if got := Compare(east, west); len(got) != 0 || Worst(got) != Same {
		t.Errorf("%+v", got)
	}
	west.Registered = []string{"u1"}
	want := []Finding{{"clusters", Same, "they are registered beside each other, so they share a pool"}}
	if diff := cmp.Diff(want, Compare(east, west)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if got := Worst([]Finding{{Verdict: Same}, {Verdict: Unknown}, {Verdict: Note}}); got != Unknown {
		t.Error(got)
	}
}
