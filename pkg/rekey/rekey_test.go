package rekey

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/ceph/cephtest"
)

func TestRekey(t *testing.T) {
	keyed := func(record *ceph.Record) { record.Keyed = true }
	steps := func(more ...string) []string {
		return append(append(more, "what PersistentVolume shop.data is to be stands in ./shop.data~east.json"), []string{
			"the image is keyed from now on", "PersistentVolume shop.data is deleted",
			"PersistentVolume shop.data has the handle shop.data~east", "keyed, and bound",
		}...)
	}
	keyedBefore := slices.DeleteFunc(steps(), func(s string) bool { return strings.HasPrefix(s, "the image is keyed") })
	type change = func(*corev1.PersistentVolume, *corev1.PersistentVolumeClaim)
	attribute := func(name, value string) change {
		return func(pv *corev1.PersistentVolume, _ *corev1.PersistentVolumeClaim) {
			pv.Spec.CSI.VolumeAttributes[name] = value
		}
	}
	tests := map[string]struct {
		record  *ceph.Record
		change  change
		said    []string
		state   ceph.State
		private bool
	}{
		"nobody owns it":                                 {&ceph.Record{ClaimSize: 1 << 24, Exclusive: true}, nil, steps(), ceph.Free, true},
		"it has no record":                               {nil, nil, steps(), ceph.Free, true},
		"this cluster owns it":                           {held(east, func(record *ceph.Record) { record.Pending = []string{"p"} }), nil, steps("released"), ceph.Free, true},
		"krbd is named as the mounter":                   {nil, attribute("mounter", "rbd"), steps(), ceph.Free, true},
		"rbd-nbd maps it":                                {nil, attribute("mounter", "rbd-nbd"), steps(), ceph.Free, false},
		"rbd-nbd may map it":                             {nil, attribute("tryOtherMounters", "true"), steps(), ceph.Free, false},
		"another cluster's krbd maps it":                 {&ceph.Record{ClaimSize: 1 << 24, Exclusive: true, Private: true}, attribute("mounter", "rbd-nbd"), steps(), ceph.Free, true},
		"another cluster has made it keyed":              {&ceph.Record{ClaimSize: 1 << 24, Exclusive: true, Keyed: true}, nil, keyedBefore, ceph.Free, false},
		"the same, and private":                          {&ceph.Record{ClaimSize: 1 << 24, Exclusive: true, Keyed: true, Private: true}, nil, keyedBefore, ceph.Free, true},
		"another cluster has made it keyed, and owns it": {held(west, keyed), nil, keyedBefore, ceph.Held, false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, test.record, test.change)
				if test.state == ceph.Held {
					if _, err := r.storage.ClaimKey(t.Context(), "rbd", "", west); err != nil {
						t.Fatal(err)
					}
					r.ceph.RenameImage(ceph.ImageSpec{Pool: "rbd", Name: "shop.data"}, "shop.data~west")
				}
				if err := r.rekey(); err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(test.said, r.said); diff != "" {
					t.Errorf("-want +got:\n%s", diff)
				}
				r.isKeyed(test.private, test.change)
				if record := r.record(); record.State != test.state {
					t.Errorf("the record says %s", record.State)
				}
				// Again, nothing is to be done.
				r.Changed = nil
				if err := r.rekey(); err != nil || !slices.Equal(r.said, []string{"keyed, and bound"}) {
					t.Errorf("again: %v, %q", err, r.said)
				}
				if slices.ContainsFunc(r.Changed, func(m string) bool { return m != "ClaimKey" }) {
					t.Errorf("again: %q", r.Changed)
				}
			})
		})
	}
}

// TestRekeyIsKilled: wherever a run dies, the next one ends it.
func TestRekeyIsKilled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		whole := newRig(t, held(east), nil)
		if err := whole.rekey(); err != nil {
			t.Fatal(err)
		}
		if want := []string{"ClaimKey", "PutRecord", "PutRecord", "delete", "patch", "create"}; !slices.Equal(whole.Changed, want) {
			t.Fatalf("it writes by %q; want %q", whole.Changed, want)
		}
		for n, method := range whole.Changed {
			for _, done := range []bool{false, true} {
				r := newRig(t, held(east), nil)
				r.Writes, r.Done = n+1, done
				if err := r.rekey(); !errors.Is(err, cephtest.ErrKilled) {
					t.Fatalf("at %s: %v", method, err)
				}
				r.Writes = -1
				if err := r.rekey(); err != nil {
					t.Errorf("after it died at %s, which was done: %t: %v", method, done, err)
				}
				r.isKeyed(true, nil)
			}
		}
	})
}

func TestRekeyIsRefused(t *testing.T) {
	deleting := func(pv *corev1.PersistentVolume, _ *corev1.PersistentVolumeClaim) {
		now := metav1.Now()
		pv.DeletionTimestamp = &now
	}
	tests := map[string]struct {
		record  *ceph.Record
		change  func(*corev1.PersistentVolume, *corev1.PersistentVolumeClaim)
		more    []client.Object
		prepare func(*rig)
		want    string
	}{
		"a pod uses it":                     {held(east), nil, []client.Object{pod()}, nil, "it is in use: a pod uses it: pod shop/db-0"},
		"a pod uses it, and nobody owns it": {nil, nil, []client.Object{pod()}, nil, "it is in use: pod shop/db-0"},
		"a pod uses it here, and another cluster has made it keyed": {held(west, func(r *ceph.Record) { r.Keyed = true }), nil, []client.Object{pod()}, nil, "it is in use: pod shop/db-0"},
		"a client has it open": {nil, nil, nil, func(r *rig) {
			r.ceph.AddWatcher(ceph.ImageSpec{Pool: "rbd", Name: "shop.data"}, ceph.Watcher{Addr: "10.0.2.11:0/5"})
		}, "it is in use: client 10.0.2.11:0/5 has it open"},
		"another cluster owns it": {held(west), nil, nil, nil, "cluster west owns it, claim shop/data, and opens it by a name without a key"},
		"it is being taken over":  {held(west, func(r *ceph.Record) { r.State, r.Takeover = ceph.Fencing, &ceph.Takeover{Party: east} }), nil, nil, nil, "the image is being taken from its owner"},
		"another cluster has the key": {nil, nil, nil, func(r *rig) {
			if _, err := r.storage.ClaimKey(r.Context(), "rbd", "", ceph.Party{UID: "u-first", Name: "east"}); err != nil {
				r.Fatal(err)
			}
		}, `another cluster (uid u-first) is called "east" too, and was first`},
		"another cluster's key is too long": {held(east), nil, nil, func(r *rig) {
			if _, err := r.storage.ClaimKey(r.Context(), "rbd", "", ceph.Party{UID: "u-long", Name: strings.Repeat("k", 87)}); err != nil {
				r.Fatal(err)
			}
		}, "of the cluster with uid u-long, more than the 96"},
		"there is no image":       {nil, nil, nil, func(r *rig) { r.ceph.RemoveImage(ceph.ImageSpec{Pool: "rbd", Name: "shop.data"}) }, "shop.data"},
		"somebody is deleting it": {nil, deleting, nil, nil, "PersistentVolume shop.data is being deleted, and not by this command"},
		"a copy of another volume": {nil, deleting, nil, func(r *rig) {
			other := volume("data")
			other.UID, other.Spec.CSI.VolumeHandle = "u-other", "shop.data~east"
			if err := r.rekeyer.Copies.Write(other); err != nil {
				r.Fatal(err)
			}
		}, "PersistentVolume shop.data is being deleted, and not by this command"},
		"a key that somebody else wrote": {&ceph.Record{ClaimSize: 1 << 24}, func(pv *corev1.PersistentVolume, _ *corev1.PersistentVolumeClaim) {
			pv.Spec.CSI.VolumeHandle = "shop.data~east"
		}, nil, nil, "has the handle shop.data~east, and the image is not keyed, so this command did not make it"},
		"the key of another cluster": {&ceph.Record{ClaimSize: 1 << 24, Keyed: true}, func(pv *corev1.PersistentVolume, _ *corev1.PersistentVolumeClaim) {
			pv.Spec.CSI.VolumeHandle = "shop.data~west"
		}, nil, nil, `the volumeHandle "shop.data~west" has the key "west", and that of cluster east is "east"`},
		"no place for a copy": {nil, nil, nil, func(r *rig) { r.rekeyer.Copies.Dir += "/none" }, "keep a copy of PersistentVolume shop.data, with --save in another directory if need be: "},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, test.record, test.change, test.more...)
			if test.prepare != nil {
				test.prepare(r)
			}
			r.Changed = nil
			err := r.rekey()
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%v; want %s", err, test.want)
			}
			if slices.ContainsFunc(r.Changed, func(m string) bool { return m != "ClaimKey" }) || len(r.said) > 0 {
				t.Errorf("it did %q, and said %q", r.Changed, r.said)
			}
		})
	}
}

// TestKeyedAlready: in a cluster that comes after the one which has made the image keyed, no
// key is too long any more.
func TestKeyedAlready(t *testing.T) {
	r := newRig(t, &ceph.Record{ClaimSize: 1 << 24, Exclusive: true, Keyed: true}, nil)
	if _, err := r.storage.ClaimKey(t.Context(), "rbd", "", ceph.Party{UID: "u-long", Name: strings.Repeat("k", 87)}); err != nil {
		t.Fatal(err)
	}
	if err := r.rekey(); err != nil {
		t.Fatal(err)
	}
	r.isKeyed(false, nil)
}

// TestARecordChangesMeanwhile: another cluster gets the image after the proof.
func TestARecordChangesMeanwhile(t *testing.T) {
	r := newRig(t, nil, nil)
	taken := false
	r.ceph.Intercept(func(_ context.Context, call cephtest.Call, proceed func() error) error {
		if call.Method == "PutRecord" && !taken {
			taken = true
			r.ceph.WriteRecord(r.image(), held(west).Encode())
		}
		return proceed()
	})
	if err := r.rekey(); err == nil || !strings.Contains(err.Error(), "cluster west owns it") {
		t.Errorf("%v", err)
	}
	if record := r.record(); !taken || record.Keyed || slices.Contains(r.Changed, "delete") {
		t.Errorf("the record says %+v; written: %q", record, r.Changed)
	}
}

// TestTheVolumeIsGone: the copy alone makes it again, and only for a keyed image.
func TestTheVolumeIsGone(t *testing.T) {
	kept := volume("data")
	kept.Spec.CSI.VolumeHandle, kept.Spec.CSI.VolumeAttributes["mapOptions"] = "shop.data~east", "exclusive,noshare"
	for name, test := range map[string]struct {
		record *ceph.Record
		copy   bool
		want   string
	}{
		"a copy, and a keyed image":        {&ceph.Record{ClaimSize: 1 << 24, Exclusive: true, Keyed: true}, true, ""},
		"a copy, and an image that is not": {&ceph.Record{ClaimSize: 1 << 24}, true, "shop.data~east, and the image is not keyed, so this command did not make it"},
		"no copy":                          {&ceph.Record{ClaimSize: 1 << 24, Keyed: true}, false, "PersistentVolume shop.data is gone, and there is no copy of it in "},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, test.record, func(pv *corev1.PersistentVolume, _ *corev1.PersistentVolumeClaim) { pv.Name = "elsewhere" })
			if test.copy {
				if err := r.rekeyer.Copies.Write(kept); err != nil {
					t.Fatal(err)
				}
			}
			err := r.rekey()
			if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
				t.Fatalf("%v; want %s", err, test.want)
			}
			if err == nil {
				r.isKeyed(false, nil)
			}
		})
	}
}

// TestKubernetesDoesNotFollow: what keeps the volume, or leaves it unbound, is named.
func TestKubernetesDoesNotFollow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const attached = "external-attacher/rook-ceph-rbd-csi-ceph-com"
		r := newRig(t, nil, func(pv *corev1.PersistentVolume, _ *corev1.PersistentVolumeClaim) {
			pv.Finalizers = append(pv.Finalizers, attached)
		})
		if err := r.rekey(); err == nil || !strings.Contains(err.Error(), "its finalizers keep it ("+attached+")") {
			t.Errorf("%v", err)
		}
		r = newRig(t, nil, func(_ *corev1.PersistentVolume, pvc *corev1.PersistentVolumeClaim) {
			pvc.Status.Phase = corev1.ClaimLost
		})
		if err := r.rekey(); err == nil || !strings.Contains(err.Error(), "the claim is Lost, PersistentVolume shop.data is Bound") {
			t.Errorf("%v", err)
		}
	})
}

// TestSomebodyElseMakesTheVolume: what is not ours is no success.
func TestSomebodyElseMakesTheVolume(t *testing.T) {
	for handle, want := range map[string]string{"shop.data~east": "", "shop.data": "somebody else has created PersistentVolume shop.data in the meantime"} {
		r := newRig(t, nil, nil)
		next := volume("data")
		next.Spec.CSI.VolumeHandle = "shop.data~east"
		var now corev1.PersistentVolume
		if err := r.api.Get(t.Context(), client.ObjectKey{Name: "shop.data"}, &now); err != nil {
			t.Fatal(err)
		}
		now.Spec.CSI.VolumeHandle = handle
		if err := r.api.Update(t.Context(), &now); err != nil {
			t.Fatal(err)
		}
		if err := r.rekeyer.make(t.Context(), next); (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v; want %s", handle, err, want)
		}
	}
}

func TestUnkeyed(t *testing.T) {
	done, gone, missing, foreign, plain := volume("done"), claim("gone"), claim("missing"), volume("foreign"), volume("plain")
	done.Spec.CSI.VolumeHandle += "~east"
	foreign.Spec.CSI.VolumeHandle = "csi-vol-1"
	delete(plain.Annotations, "cephferry.io/migratable")
	delete(plain.Spec.CSI.VolumeAttributes, "staticVolume")
	out := claim("out")
	out.Annotations = map[string]string{"cephferry.io/keyed": "false"}
	r := newRig(t, nil, nil, volume("out"), out, done, claim("done"), gone, missing, foreign, claim("foreign"), plain, claim("plain"))
	kept := volume("gone")
	kept.Spec.CSI.VolumeHandle += "~east"
	if err := r.rekeyer.Copies.Write(kept); err != nil {
		t.Fatal(err)
	}
	got, err := r.rekeyer.Unkeyed(t.Context(), "shop")
	if diff := cmp.Diff([]string{"data", "gone"}, got); diff != "" || err != nil {
		t.Errorf("%v, -want +got:\n%s", err, diff)
	}
}

func TestErrorsOfTheAPIServer(t *testing.T) {
	r := newRig(t, nil, nil)
	err := r.rekeyer.Rekey(t.Context(), "shop", "other", func(string) {})
	if !apierrors.IsNotFound(err) || !strings.HasPrefix(fmt.Sprint(err), "read the claim: ") {
		t.Errorf("%v", err)
	}
}
