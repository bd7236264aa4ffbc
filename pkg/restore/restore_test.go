package restore

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/storageclass"
)

var (
	since = time.Date(2026, 11, 22, 14, 3, 0, 0, time.UTC)
	east  = ceph.Party{UID: "u-east", Name: "east"}
	west  = ceph.Party{UID: "u-west", Name: "west"}
)

const gib = 1 << 30

func image(name string) ceph.ImageSpec { return ceph.ImageSpec{Pool: "rbd", Name: name} }

// held is a record of an image that a cluster has for a claim of namespace shop.
func held(name, claim string, by ceph.Party, change ...func(*ceph.Record)) ceph.RecordOf {
	record := ceph.Record{Token: "t-" + name, ClaimSize: 8 * gib, State: ceph.Held, Keyed: true, Owner: &ceph.Owner{Party: by, Namespace: "shop", Claim: claim, Since: since}}
	for _, change := range change {
		change(&record)
	}
	return ceph.RecordOf{Image: image(name), Record: record}
}

func released(name string, by ceph.Party) ceph.RecordOf {
	return ceph.RecordOf{Image: image(name), Record: ceph.Record{Token: "t-" + name, History: []ceph.Change{{Event: ceph.Acquired, Party: west}, {Event: ceph.Released, Party: by}}}}
}

func class(name string, ours bool) Class {
	return Class{Ours: ours, Class: storageclass.Class{
		Name: name, Driver: "rook-ceph.rbd.csi.ceph.com", ClusterID: "rook-ceph", RBD: &storageclass.RBD{Pool: "rbd", FSType: "ext4"},
		NodeStageSecret: corev1.SecretReference{Namespace: "rook-ceph", Name: "node"},
	}}
}

func space(records ...ceph.RecordOf) Space {
	return Space{Pool: "rbd", Classes: []Class{class("ceph-block", false)}, Records: records}
}

func here(namespaces ...string) Here {
	h := Here{Self: west, Claims: map[types.NamespacedName]bool{}, Grants: map[string]func(string) bool{}}
	for _, name := range namespaces {
		h.Grants[name] = func(string) bool { return false }
	}
	return h
}

// everything is a wish that leaves nothing open.
func everything() Wish {
	return Wish{From: "east", AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce}, VolumeMode: corev1.PersistentVolumeFilesystem}
}

func TestPrint(t *testing.T) {
	exclusive := func(r *ceph.Record) { r.Exclusive = true }
	records := []ceph.RecordOf{
		held("shop.data-db-0", "data-db-0", east, exclusive),
		held("csi-vol-1", "files", east),
		held("shop.mine", "mine", west),
		held("shop.here", "here", east),
		held("shop.twice", "twice", east), held("shop.again", "twice", east),
		held("Old Disk", "disk", east),
		held("shop.bad", "Bad_Claim", east),
		held("shop.empty", "empty", east, func(r *ceph.Record) { r.ClaimSize = 0 }),
		released("shop.cache", east), released("shop.other", west),
		{Image: image("shop.later"), Err: fmt.Errorf("decode record: %w", ceph.ErrRecordUnknown)},
	}
	h := here()
	h.Claims[types.NamespacedName{Namespace: "shop", Name: "here"}] = true
	plan, err := Decide(everything(), []Space{space(records...)}, h)
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	if err := plan.Print(&out); err != nil {
		t.Fatal(err)
	}
	want := `# Claims of cluster east (uid u-east), out of the records of its images.
# Access modes and volume mode are those of the command line. Labels, and volumes on CephFS, are in no record.
# A raw device that is mounted as Filesystem is formatted: make sure that none is among them.
# Before: kubectl create namespace shop
# Before: grant image csi-vol-1 to namespace shop: its annotation cephferry.io/images has to name it (docs/provisioner.md)
# Is here already: claim shop/here
# Cannot know whose image rbd/shop.cache was: the cluster gave it up, and its record no longer names a claim
# Left out: claim shop/Bad_Claim: the record of image rbd/shop.bad names no valid claim: a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')
# Left out: claim shop/disk: metadata.annotations[cephferry.io/image]: Invalid value: "Old Disk": must be letters, digits, '-', '_' and '.', and must not begin or end with '-' or '.'
# Left out: claim shop/empty: the record of image rbd/shop.empty has a size that no claim can have: 0 bytes
# Left out: claim shop/twice: the records of two images name it, rbd/shop.twice and rbd/shop.again; check which one it had with kubectl cephferry history --image, and write it by hand
# Cannot know the record of image rbd/shop.later: decode record: the volume's record is not one this version understands
---
# image rbd/shop.data-db-0, owned since 2026-11-22 14:03:00Z
apiVersion: v1
kind: PersistentVolumeClaim
metadata:
  annotations:
    cephferry.io/adopt: "true"
    cephferry.io/class: ceph-block
    cephferry.io/migratable: "true"
  name: data-db-0
  namespace: shop
spec:
  accessModes:
  - ReadWriteOnce
  resources:
    requests:
      storage: 8Gi
  storageClassName: ""
  volumeMode: Filesystem
---
# image rbd/csi-vol-1, owned since 2026-11-22 14:03:00Z
apiVersion: v1
kind: PersistentVolumeClaim
metadata:
  annotations:
    cephferry.io/adopt: "true"
    cephferry.io/class: ceph-block
    cephferry.io/image: csi-vol-1
    cephferry.io/migratable: "true"
  name: files
  namespace: shop
spec:
  accessModes:
  - ReadWriteOnce
  resources:
    requests:
      storage: 8Gi
  storageClassName: ""
  volumeMode: Filesystem
`
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestVolumes(t *testing.T) {
	wish := everything()
	wish.Volumes = true
	s := space(held("shop.data", "data", east, func(r *ceph.Record) { r.Exclusive, r.Private = true, true }), held("shop.gone", "gone", east))
	s.Classes = []Class{class("ceph-block", false), class("migratable", true)}
	s.Key, s.Features = "west", map[string][]string{"shop.data": {"exclusive-lock", "layering"}}
	h := here("shop")
	h.Grants["shop"] = func(string) bool { return true }
	plan, err := Decide(wish, []Space{s}, h)
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	if err := plan.Print(&out); err != nil {
		t.Fatal(err)
	}
	want := `# Left out: claim shop/gone: image rbd/shop.gone is gone, or cannot be looked at
---
# image rbd/shop.data, owned since 2026-11-22 14:03:00Z
apiVersion: v1
kind: PersistentVolume
metadata:
  annotations:
    cephferry.io/migratable: "true"
  labels:
    cephferry.io/door: class
  name: shop.data
spec:
  accessModes:
  - ReadWriteOnce
  capacity:
    storage: 8Gi
  claimRef:
    apiVersion: v1
    kind: PersistentVolumeClaim
    name: data
    namespace: shop
  csi:
    driver: rook-ceph.rbd.csi.ceph.com
    fsType: ext4
    nodeStageSecretRef:
      name: node
      namespace: rook-ceph
    volumeAttributes:
      clusterID: rook-ceph
      imageFeatures: exclusive-lock,layering
      mapOptions: exclusive,noshare
      pool: rbd
      staticVolume: "true"
    volumeHandle: shop.data~west
  persistentVolumeReclaimPolicy: Retain
  storageClassName: migratable
  volumeMode: Filesystem
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata:
  annotations:
    cephferry.io/adopt: "true"
  name: data
  namespace: shop
spec:
  accessModes:
  - ReadWriteOnce
  resources:
    requests:
      storage: 8Gi
  storageClassName: migratable
  volumeMode: Filesystem
  volumeName: shop.data
`
	_, got, _ := strings.Cut(out.String(), "make sure that none is among them.\n")
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}

	s.Key = ""
	plan, err = Decide(wish, []Space{s}, h)
	if err != nil || len(plan.Claims) > 0 || !strings.Contains(plan.Left[0], "this cluster has no key in that pool yet") {
		t.Errorf("%+v, %v", plan, err)
	}
}

func TestRefusals(t *testing.T) {
	for name, test := range map[string]struct {
		records []ceph.RecordOf
		wish    func(*Wish)
		want    string
	}{
		"nobody has said the modes": {
			[]ceph.RecordOf{held("shop.data", "data", east)}, func(w *Wish) { w.AccessModes = nil },
			"the records say neither access modes nor volume mode of shop/data",
		},
		"of many, some are named": {
			func() (all []ceph.RecordOf) {
				for i := range 12 {
					all = append(all, held(fmt.Sprintf("shop.d%02d", i), fmt.Sprintf("d%02d", i), east))
				}
				return all
			}(), func(w *Wish) { w.VolumeMode = "" },
			"of shop/d00, shop/d01, shop/d02, shop/d03, shop/d04, shop/d05, shop/d06, shop/d07, shop/d08, shop/d09 and 2 others",
		},
		"a cluster that no record names": {
			[]ceph.RecordOf{held("shop.data", "data", east), held("shop.mine", "mine", west)}, func(w *Wish) { w.From = "north" },
			"no record in the pools of this cluster's StorageClasses names cluster north; they name east",
		},
		"this cluster": {
			[]ceph.RecordOf{held("shop.mine", "mine", west)}, func(w *Wish) { w.From = "west" },
			"cluster west is this one, and no record names an older one of that name",
		},
		"two of one name": {
			[]ceph.RecordOf{held("shop.a", "a", east), held("shop.b", "b", ceph.Party{UID: "u-older", Name: "east"})}, func(*Wish) {},
			"records name several clusters called east: u-east, u-older",
		},
		"a claim that no record names": {
			[]ceph.RecordOf{held("shop.a", "a", east)}, func(w *Wish) { w.Claims = []types.NamespacedName{{Namespace: "shop", Name: "b"}} },
			"no record of an image of cluster east names claim shop/b",
		},
	} {
		t.Run(name, func(t *testing.T) {
			wish := everything()
			test.wish(&wish)
			plan, err := Decide(wish, []Space{space(test.records...)}, here("shop"))
			var refusal *Refusal
			if !errors.As(err, &refusal) || !strings.Contains(refusal.What, test.want) || refusal.Do == "" {
				t.Errorf("%+v, %v; want %s", plan, err, test.want)
			}
		})
	}
}

func TestWhatIsPrinted(t *testing.T) {
	ours, other := class("migratable", true), class("ceph-block-2", false)
	for name, test := range map[string]struct {
		records []ceph.RecordOf
		classes []Class
		wish    func(*Wish)
		want    []string
		left    string
	}{
		"the older cluster of this name, which this one was built instead of": {
			records: []ceph.RecordOf{held("shop.a", "a", ceph.Party{UID: "u-older", Name: "west"}), held("shop.b", "b", west)},
			wish:    func(w *Wish) { w.From = "west" }, want: []string{"a by ceph-block"},
		},
		"by its uid": {
			records: []ceph.RecordOf{held("shop.a", "a", east), held("shop.b", "b", ceph.Party{UID: "u-older", Name: "east"})},
			wish:    func(w *Wish) { w.From = "u-older" }, want: []string{"b by ceph-block"},
		},
		"while a failover is under way": {
			records: []ceph.RecordOf{held("shop.a", "a", east, func(r *ceph.Record) { r.State, r.Takeover = ceph.Fencing, &ceph.Takeover{Party: west} })},
			want:    []string{"a by ceph-block"},
		},
		"only what is named": {
			records: []ceph.RecordOf{held("shop.a", "a", east), held("shop.b", "b", east)},
			wish:    func(w *Wish) { w.Claims = []types.NamespacedName{{Namespace: "shop", Name: "b"}} }, want: []string{"b by ceph-block"},
		},
		"an image whose name Kubernetes does not take": {
			records: []ceph.RecordOf{held("Old_Disk", "a", east)}, want: []string{"a by ceph-block"},
		},
		"a class of ours goes first": {
			records: []ceph.RecordOf{held("shop.a", "a", east)}, classes: []Class{other, ours}, want: []string{"a of migratable"},
		},
		"several classes": {
			records: []ceph.RecordOf{held("shop.a", "a", east)}, classes: []Class{other},
			left: "claim shop/a: several StorageClasses lead to its image (pool rbd); name the one you mean with --class: ceph-block, ceph-block-2",
		},
		"several, and one is named": {
			records: []ceph.RecordOf{held("shop.a", "a", east)}, classes: []Class{other},
			wish: func(w *Wish) { w.Class = "ceph-block-2" }, want: []string{"a by ceph-block-2"},
		},
		"a class that leads elsewhere": {
			records: []ceph.RecordOf{held("shop.a", "a", east)}, wish: func(w *Wish) { w.Class = "fast" },
			left: "claim shop/a: StorageClass fast does not lead to its image (pool rbd); these do: ceph-block",
		},
		"several nodes, of an image that one at a time maps": {
			records: []ceph.RecordOf{held("shop.a", "a", east, func(r *ceph.Record) { r.Exclusive = true })},
			wish:    func(w *Wish) { w.AccessModes[0], w.VolumeMode = corev1.ReadWriteMany, corev1.PersistentVolumeBlock },
			left:    "claim shop/a: its record says that one node at a time maps the image, so its access mode was ReadWriteOnce or ReadWriteOncePod",
		},
		"several nodes that mount": {
			records: []ceph.RecordOf{held("shop.a", "a", east)}, wish: func(w *Wish) { w.AccessModes[0] = corev1.ReadWriteMany },
			left: "claim shop/a: spec.accessModes: Invalid value: \"ReadWriteMany\": class \"ceph-block\" is an RBD class, ",
		},
	} {
		t.Run(name, func(t *testing.T) {
			wish := everything()
			if test.wish != nil {
				test.wish(&wish)
			}
			s := space(test.records...)
			s.Classes = append(s.Classes, test.classes...)
			// The same pool by another clusterID and user: its records are read once more.
			plan, err := Decide(wish, []Space{s, {Pool: "rbd", Records: test.records}}, here("shop"))
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, claim := range plan.Claims {
				by := " by " + claim.Object.Annotations["cephferry.io/class"]
				if *claim.Object.Spec.StorageClassName != "" {
					by = " of " + *claim.Object.Spec.StorageClassName
				}
				got = append(got, claim.Object.Name+by)
			}
			left := strings.Join(plan.Left, "\n")
			if diff := cmp.Diff(test.want, got); diff != "" || !strings.HasPrefix(left, test.left) || (left == "") != (test.left == "") {
				t.Errorf("left %q, -want +got:\n%s", left, diff)
			}
		})
	}
}
