package rekey

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/cephferry/cephferry/pkg/ceph"
)

func TestDecide(t *testing.T) {
	now := metav1.Now()
	keyed := func(pv *corev1.PersistentVolume) { pv.Spec.CSI.VolumeHandle = "shop.data~east" }
	deleted := func(pv *corev1.PersistentVolume) { pv.DeletionTimestamp = &now }
	build := func(change ...func(*corev1.PersistentVolume)) *corev1.PersistentVolume {
		pv := volume("data")
		for _, c := range change {
			c(pv)
		}
		return pv
	}
	tests := map[string]struct {
		volume, copy *corev1.PersistentVolume
		claim        func(*corev1.PersistentVolumeClaim)
		step         Step
		want         string
	}{
		"a volume without a key":             {volume: build(), step: Replace},
		"one, and a copy of an earlier run":  {volume: build(), copy: build(keyed), step: Replace},
		"one that an earlier run deletes":    {volume: build(deleted), copy: build(keyed), step: Replace},
		"a volume with a key":                {volume: build(keyed), step: Finish},
		"one, and a copy":                    {volume: build(keyed), copy: build(keyed), step: Finish},
		"no volume, and a copy":              {copy: build(keyed), step: Restore},
		"nothing":                            {want: "PersistentVolume shop.data is gone, and there is no copy of it in ./x"},
		"a copy without a key":               {copy: build(), want: "the copy in ./x is not of this claim's volume"},
		"a copy for an earlier claim":        {copy: build(keyed, func(pv *corev1.PersistentVolume) { pv.Spec.ClaimRef.UID = "u-0" }), want: "the copy in ./x is not of this claim's volume"},
		"a copy of another volume":           {copy: build(func(pv *corev1.PersistentVolume) { pv.Name, pv.Spec.CSI.VolumeHandle = "shop.x", "shop.x~east" }), want: "the copy in ./x is not of this claim's volume"},
		"a volume that is deleted":           {volume: build(deleted), want: "is being deleted, and not by this command"},
		"one with a key that is deleted":     {volume: build(deleted, keyed), copy: build(keyed), want: "is being deleted, and not by this command"},
		"a volume of an earlier claim":       {volume: build(func(pv *corev1.PersistentVolume) { pv.Spec.ClaimRef.UID = "u-0" }), want: `spec.claimRef.uid is "u-0", and the claim's is "u-claim"`},
		"a volume that is not bound":         {volume: build(func(pv *corev1.PersistentVolume) { pv.Spec.ClaimRef.UID = "" }), want: `spec.claimRef.uid is "", and the claim's is "u-claim"`},
		"a volume of another claim":          {volume: build(func(pv *corev1.PersistentVolume) { pv.Spec.ClaimRef.Name = "x" }), want: "is not a static RBD volume that was made for this claim"},
		"a volume that ceph-csi made":        {volume: build(func(pv *corev1.PersistentVolume) { delete(pv.Spec.CSI.VolumeAttributes, "staticVolume") }), want: "is not a static RBD volume"},
		"a volume with another image's name": {volume: build(func(pv *corev1.PersistentVolume) { pv.Spec.CSI.VolumeHandle = "csi-vol-1" }), want: "is not a static RBD volume"},
		"a subvolume":                        {volume: build(func(pv *corev1.PersistentVolume) { pv.Spec.CSI.Driver = "rook-ceph.cephfs.csi.ceph.com" }), want: "is not a static RBD volume"},
		"a local volume":                     {volume: build(func(pv *corev1.PersistentVolume) { pv.Spec.CSI = nil }), want: "is not a static RBD volume"},
		"a volume that deletes its image": {volume: build(func(pv *corev1.PersistentVolume) {
			pv.Spec.PersistentVolumeReclaimPolicy = corev1.PersistentVolumeReclaimDelete
		}),
			want: "has the reclaim policy Delete\n  do this   `kubectl patch pv shop.data -p '{\"spec\":{\"persistentVolumeReclaimPolicy\":\"Retain\"}}'`"},
		"a claim without a volume": {volume: build(), claim: func(c *corev1.PersistentVolumeClaim) { c.Spec.VolumeName = "" }, want: "the claim has no volume yet"},
		"a claim that goes":        {volume: build(), claim: func(c *corev1.PersistentVolumeClaim) { c.DeletionTimestamp = &now }, want: "the claim is being deleted"},
		"a claim that wants no key": {volume: build(), claim: func(c *corev1.PersistentVolumeClaim) {
			c.Annotations = map[string]string{"cephferry.io/keyed": "false"}
		}, want: `the claim asks for an image without keys, with cephferry.io/keyed: "false"`},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			pair := Pair{Claim: claim("data"), Volume: test.volume, Copy: test.copy, Path: "./x"}
			if test.claim != nil {
				test.claim(pair.Claim)
			}
			step, err := Decide(pair)
			if step != test.step || (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
				t.Errorf("%q, %v; want %q, %s", step, err, test.step, test.want)
			}
		})
	}
}

func TestKeyedIsTooLong(t *testing.T) {
	pv := volume("data")
	if _, err := keyed(pv, strings.Repeat("k", 86)); err != nil {
		t.Error(err)
	}
	if _, err := keyed(pv, strings.Repeat("k", 87)); err == nil || !strings.Contains(err.Error(), "has 97 bytes, more than the 96") {
		t.Errorf("%v", err)
	}
	if pv.Spec.CSI.VolumeHandle != "shop.data" {
		t.Errorf("the old volume has the handle %s", pv.Spec.CSI.VolumeHandle)
	}
}

// TestFitsKeys has the boundary: 9 bytes of shop.data, the separator, and the key.
func TestFitsKeys(t *testing.T) {
	key := func(length int) ceph.Key { return ceph.Key{Name: strings.Repeat("k", length), UID: "u-long"} }
	for name, test := range map[string]struct {
		keys []ceph.Key
		want string
	}{
		"no key":   {nil, ""},
		"96 bytes": {[]ceph.Key{{Name: "east"}, key(86)}, ""},
		"97 bytes": {[]ceph.Key{{Name: "east"}, key(87)}, `of the cluster with uid u-long, more than the 96`},
	} {
		t.Run(name, func(t *testing.T) {
			err := fitsKeys("shop.data", test.keys)
			if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
				t.Errorf("%v; want %s", err, test.want)
			}
		})
	}
}

func TestCopyThatIsNone(t *testing.T) {
	copies := Copies{t.TempDir(), "a/b"}
	if got, err := copies.Read("x"); got != nil || err != nil {
		t.Errorf("%v, %v", got, err)
	}
	if err := copies.Remove("x"); err != nil {
		t.Error(err)
	}
	pv := volume("data")
	pv.Spec.CSI = nil
	if err := copies.Write(pv); err != nil {
		t.Fatal(err)
	}
	if _, err := copies.Read("shop.data"); err == nil || !strings.Contains(err.Error(), "it has no spec.csi") {
		t.Errorf("%v", err)
	}
}
